// Runs a Ruby script in a Ruby that is compiled to WebAssembly, on files that are copied into its memory.
//
//   node wasm_ruby.mjs PACKAGES RUBY.wasm SCRIPT ARGUMENT... <list of files
//
// PACKAGES is the directory that npm has installed into. Exits with what the script's last expression is: true or false.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [packages, wasm, script, ...args] = process.argv.slice(2);
const from = createRequire(`${packages}/package.json`);
const { WASI, File, OpenFile, Directory, PreopenDirectory, ConsoleStdout } = from("@bjorn3/browser_wasi_shim");
const { RubyVM } = from("@ruby/wasm-wasi");

const root = new Map();
const place = (path, bytes) => {
  const names = path.split("/").filter(Boolean);
  const last = names.pop();
  let directory = root;
  for (const name of names) {
    if (!directory.has(name)) directory.set(name, new Directory(new Map()));
    directory = directory.get(name).contents;
  }
  directory.set(last, new File(bytes));
};

place("/tmp/.keep", new Uint8Array());
for await (const path of createInterface({ input: process.stdin })) place(path, await readFile(path));

// Ruby has a directory of that name of its own, with its library.
const usr = root.get("usr")?.contents ?? new Map();
root.delete("usr");
const preopened = [
  ...[...root].map(([name, directory]) => new PreopenDirectory(`/${name}`, directory.contents)),
  ...[...usr].filter(([name]) => name !== "local").map(([name, directory]) => new PreopenDirectory(`/usr/${name}`, directory.contents)),
];
const to = (stream) => new ConsoleStdout((bytes) => stream.write(bytes));
const wasi = new WASI(["ruby"], [], [new OpenFile(new File([])), to(process.stdout), to(process.stderr), ...preopened], { debug: false });
const { vm } = await RubyVM.instantiateModule({ module: await WebAssembly.compile(await readFile(wasm)), wasip1: wasi });
vm.eval(`ARGUMENTS = ${JSON.stringify(args)}.freeze`);
process.exitCode = vm.eval(await readFile(script, "utf8")).toString() === "true" ? 0 : 1;
