# needs: nodejs
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
