# needs: nodejs npm
set -e
cat > /tmp/n.js <<'X'
const { Worker } = require("worker_threads");
const { execSync } = require("child_process");
console.log([1, 2, 3].map((x) => x * x), require("crypto").createHash("sha256").update("x").digest("hex"));
console.log(String(execSync("uname -m")).trim());
let sum = 0;
for (let i = 0; i < 1e6; i++) sum = (sum + i * i) % 1000003;
console.log(sum, require("zlib").gunzipSync(require("zlib").gzipSync("zipped")).toString());
new Worker('require("worker_threads").parentPort.postMessage(42)', { eval: true }).on("message", (m) => console.log("worker", m));
X
node /tmp/n.js
# A package in a folder, with a script at its installation, packed, and installed by another, whose workers use it.
rm -rf /tmp/npm && mkdir -p /tmp/npm/counter /tmp/npm/app && cd /tmp/npm/counter
export HOME=/tmp/npm npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
cat > package.json <<'X'
{ "name": "counter", "version": "1.2.3", "main": "index.js", "bin": { "count": "count.js" },
  "scripts": { "install": "node -e \"require('fs').writeFileSync('installed', process.arch)\"" } }
X
cat > index.js <<'X'
// Locks and unlocks a word of shared memory around each count.
exports.count = (words, times) => {
  for (let i = 0; i < times; i++) {
    while (Atomics.compareExchange(words, 0, 0, 1) !== 0) Atomics.wait(words, 0, 1, 5);
    words[1]++;
    Atomics.store(words, 0, 0);
    Atomics.notify(words, 0, 1);
  }
};
X
printf '#!/usr/bin/env node\nconsole.log("count", process.argv.length);\n' > count.js
cd ../app
npm pack --silent ../counter
cat > package.json <<'X'
{ "name": "app", "version": "1.0.0", "dependencies": { "counter": "file:counter-1.2.3.tgz" }, "scripts": { "start": "node main.js" } }
X
cat > main.js <<'X'
const { Worker, isMainThread, workerData } = require("worker_threads");
const { count } = require("counter");
if (isMainThread) {
  const words = new Int32Array(new SharedArrayBuffer(8));
  const ends = [1, 2, 3, 4].map(() => new Promise((end, fail) => new Worker(__filename, { workerData: words }).on("exit", end).on("error", fail)));
  Promise.all(ends).then((codes) => console.log("workers", codes.join(), words[1]));
} else count(workerData, 5000);
X
npm install --offline --foreground-scripts --loglevel=error > /tmp/npm/log 2>&1 || { cat /tmp/npm/log; exit 1; }
cat node_modules/counter/installed && echo
npm ls --parseable --depth=0 | tail -n 1
npm run --silent start
npx --no-install count a b
X=$(npm ls --json | node -e 'let s = ""; process.stdin.on("data", (d) => (s += d)).on("end", () => console.log(JSON.parse(s).dependencies.counter.version))')
echo "$X"
