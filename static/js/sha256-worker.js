// Hashes one file after the other, piece by piece, while the next piece is read. Takes {file}, {pause: true|false};
// answers {done} (bytes so far), then {sha256} or {error}.
import { sha256 } from "../vendor/noble-hashes-2.4.0/sha2.js";
import { bytesToHex } from "../vendor/noble-hashes-2.4.0/utils.js";

const PIECE = 8 << 20;
let paused = Promise.resolve();
let goOn = () => {};

const digest = async (file) => {
  const hash = sha256.create();
  const read = (at) => (at < file.size ? file.slice(at, at + PIECE).arrayBuffer() : null);
  let next = read(0);
  for (let done = 0; done < file.size;) {
    await paused;
    const piece = new Uint8Array(await next);
    if (!piece.length) throw new Error("The file became shorter.");
    done += piece.length;
    next = read(done);
    hash.update(piece);
    postMessage({ done });
  }
  return bytesToHex(hash.digest());
};

addEventListener("message", async ({ data }) => {
  if ("pause" in data) {
    goOn();
    if (data.pause) paused = new Promise((done) => { goOn = done; });
    return;
  }
  try {
    postMessage({ sha256: await digest(data.file) });
  } catch (error) {
    postMessage({ error: String(error.message || error) });
  }
});
