# Fields, arrays, regular expressions, floating point.
{ s += $2; n[$1 % 7] += length($0); w[$NF]++ }
/a[0-9]+5b/ { sub(/word/, "W"); k += length($0) }
{ x += sin($1) * sqrt($2) }
END { for (i = 0; i < 7; i++) print i, n[i]; printf "%d %d %d %.6f\n", s, k, length(w), x; for (i = 0; i < 300000; i++) z = (z * 31 + i) % 65537; print z }
