-- Tables, closures, strings, metatables.
local x, t, s = 1, {}, 0
local function next() x = (x * 1103515245 + 12345) % 2147483648; return x end
local vec = setmetatable({}, { __call = function(_, a, b) return { a = a, b = b } end })
for i = 1, 200000 do t[i] = vec(next() % 1000, i) end
table.sort(t, function(p, q) if p.a ~= q.a then return p.a < q.a end; return p.b < q.b end)
for i, v in ipairs(t) do s = (s * 31 + v.a * i + v.b) % 1000000007 end
local parts = {}
for i = 1, 20000 do parts[#parts + 1] = string.format("%d:%x", i, next()) end
local _, count = table.concat(parts, ","):gsub("(%d+):(%x)", "%2%1")
print(s, count)
