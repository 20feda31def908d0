#!/usr/bin/env node
// check_onnx.js - runs ONNX models of tools/export_onnx in ONNX Runtime and compares the logits with
// those that resnet.h computed, which each model carries.
//
//     npm install --ignore-scripts --no-save --prefix . onnxruntime-node     (once, in the project's folder)
//     tools/check_onnx.js MODEL.onnx...
//
// The image of the self-test goes through alone and then among three, the others made from it, which
// must get the logits that they get alone. Differences count relative to the largest logit.
'use strict';
const fs = require('fs');

const USAGE = `usage: check_onnx.js [--bound X] [--quiet] MODEL.onnx...

Runs the self-test of models that tools/export_onnx wrote, by ONNX Runtime, and says how far its logits
are from those of resnet.h, relative to the largest, for one image and for three together.

  --bound X   the most that is right (1e-4); else the exit status is 1
  --quiet     only a line for all, and those that are wrong`;

function quit(status, sentence) {
    console.error(`${require('path').basename(process.argv[1])}: ${sentence}`);
    process.exit(status);
}

function runtime() {
    try {
        return require('onnxruntime-node');
    } catch (error) {
        if (error.code !== 'MODULE_NOT_FOUND') throw error;
        return quit(3, 'there is no onnxruntime-node; in the project\'s folder, ' +
            'npm install --ignore-scripts --no-save --prefix . onnxruntime-node');
    }
}

// The fields of a message of a protocol buffer, [number, value], where value is what lies in the
// field: bytes, or the number.
function* fields(bytes) {
    let at = 0;
    const varint = () => {
        let value = 0;
        for (let factor = 1; ; factor *= 128) {
            const byte = bytes[at++];
            value += (byte & 127) * factor;
            if (!(byte & 128)) return value;
        }
    };
    while (at < bytes.length) {
        const tag = varint(), type = tag & 7;
        if (type === 0) {
            yield [tag >>> 3, varint()];
        } else {
            const length = type === 2 ? varint() : type === 1 ? 8 : 4;
            yield [tag >>> 3, bytes.subarray(at, at += length)];
        }
    }
}

// A model's metadata, which the runtime's interface for JavaScript does not tell.
function metadata(path) {
    const METADATA = 14, found = {};
    for (const [field, bytes] of fields(fs.readFileSync(path))) {
        if (field !== METADATA) continue;
        const [key, value] = [...fields(bytes)].map(([, text]) => text.toString());
        found[key] = value;
    }
    return found;
}

function decode(text) {
    const bytes = Buffer.from(text, 'base64');
    return Float32Array.from({length: bytes.length / 4}, (_, i) => bytes.readFloatLE(4 * i));
}

// The largest difference over the largest expected number; infinite where one is no number.
function difference(found, expected) {
    let apart = 0, largest = 0;
    for (let i = 0; i < expected.length; i++) {
        const d = Math.abs(found[i] - expected[i]);
        apart = d <= apart ? apart : Number.isFinite(d) ? d : Infinity;
        largest = Math.max(largest, Math.abs(expected[i]));
    }
    return found.length === expected.length ? apart / (largest || 1) : Infinity;
}

// The differences of one image and of three.
async function check(ort, path) {
    const told = metadata(path);
    if (!told.selftest_input) quit(1, `${path} carries no self-test; export it by tools/export_onnx`);
    const shape = told.selftest_shape.split(',').map(Number), image = decode(told.selftest_input);
    const logits = decode(told.selftest_logits);
    const session = await ort.InferenceSession.create(path, {logSeverityLevel: 3});
    const run = async (images, count) => {
        const input = new ort.Tensor('float32', images, [count, ...shape.slice(1)]);
        return (await session.run({input})).logits.data;
    };
    const kinds = [image.map((x) => -x / 2), image, image.map((x, i) => x + (i % 7) / 4)];
    const alone = [];
    for (const one of kinds) alone.push(...await run(one, 1));
    const together = new Float32Array(3 * image.length);
    kinds.forEach((one, i) => together.set(one, i * image.length));
    const three = await run(together, 3);
    await session.release();
    const second = [logits.length, 2 * logits.length];
    return [difference(alone.slice(...second), logits), difference(three.slice(...second), logits),
            difference(three, alone)];
}

async function main(words) {
    let bound = 1e-4, quiet = false, wrong = 0, worst = 0;
    const paths = [];
    for (let i = 0; i < words.length; i++) {
        if (words[i] === '--help' || words[i] === '-h') {
            console.log(USAGE);
            return;
        }
        if (words[i] === '--bound') bound = Number(words[++i]);
        else if (words[i] === '--quiet') quiet = true;
        else if (words[i].startsWith('-')) quit(2, `there is no flag ${words[i]}; try --help`);
        else paths.push(words[i]);
    }
    if (!(bound > 0)) quit(2, '--bound takes a number above 0');
    if (!paths.length) quit(2, 'which models? Try --help');
    const ort = runtime();
    for (const path of paths) {
        let found;
        try {
            found = await check(ort, path);
        } catch (error) {
            wrong++;
            console.log(`${path}: ${error.message}`);
            continue;
        }
        const most = Math.max(...found);
        worst = Math.max(worst, most);
        if (!(most <= bound)) wrong++;
        if (!quiet || !(most <= bound))
            console.log(`${path}: ${found[0].toExponential(1)} of the largest logit alone, ` +
                `${found[1].toExponential(1)} among three, which are ${found[2].toExponential(1)} ` +
                `from each alone${most <= bound ? '' : ': WRONG'}`);
    }
    console.log(`${paths.length} models, ${wrong} wrong, at most ${worst.toExponential(1)} apart`);
    if (wrong) process.exitCode = 1;
}

module.exports = {runtime, check, metadata};
if (require.main === module) main(process.argv.slice(2));
