#!/usr/bin/env node
// compare_ort.js - times predictions of resnet.h against ONNX Runtime on this machine, alternating, and
// prints the ratios.
//
//     npm install --ignore-scripts --no-save --prefix . onnxruntime-node     (once, in the project's folder)
//     make -C tools && tools/compare_ort.js --net resnetv2_50 --batch 1,8 --threads 1,2
//
// Both run the same weights: tools/bench draws them, tools/export_onnx writes them as a model, and before
// anything is timed ONNX Runtime has to find the logits that the model carries. ONNX Runtime has all its
// optimisations, as many threads within an operator as resnet.h, and its threads spin as they do unless
// told otherwise. Each turn is a process of its own; they alternate, and so does who begins. A rate is the
// median of a turn's runs, then of the turns; the ratio is that of these, above 1 where resnet.h is faster.
'use strict';
const {spawnSync} = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');
const {check, metadata, runtime} = require('./check_onnx.js');

const NETS = 'resnet20,resnet110,resnet164,resnet50-original,resnetv2_50,resnetv2_50d_gn,' +
    'resnetv2_50d_evos,resnetv2_50x1_bit';
const BOUND = 1e-4; // of the largest logit
const USAGE = `usage: compare_ort.js [--flag VALUE | --flag=VALUE]...

Times predictions of resnet.h against ONNX Runtime in turns, and prints images/s and their ratio.

  --net NAMES     of nets, between commas, as tools/bench --help lists them
                  (${NETS.replace(/^(.{1,58}),(.*)$/, '$1,\n                  $2')})
  --weights FILE  a weights file of resnet.h instead
  --batch LIST    images at a time (1,8)
  --threads LIST  (1,${os.availableParallelism ? os.availableParallelism() : os.cpus().length})
  --isa NAME      of resnet.h: portable, avx2 or avx512 (the best there is); ONNX Runtime takes what it
                  likes
  --rounds N      turns of each (5)
  --seconds X     of a turn, at least; never less than 5 runs (2)`;

function quit(status, sentence) {
    console.error(`compare_ort.js: ${sentence}`);
    process.exit(status);
}

// Lists of whole numbers from 1, and the words that the programs check themselves.
function parse(words) {
    const given = {net: NETS, weights: '', batch: '1,8', isa: 'auto', rounds: '5', seconds: '2', worker: '',
                   threads: `1,${os.availableParallelism ? os.availableParallelism() : os.cpus().length}`};
    for (let i = 0; i < words.length; i++) {
        if (words[i] === '--help' || words[i] === '-h') {
            console.log(USAGE);
            process.exit(0);
        }
        const [, name, , value] = /^--([a-z]+)(=(.*))?$/.exec(words[i]) || [];
        if (given[name] === undefined) quit(2, `there is no flag ${words[i]}; try --help`);
        given[name] = value === undefined ? words[++i] : value;
        if (given[name] === undefined) quit(2, `--${name} needs a value`);
    }
    for (const name of ['batch', 'threads', 'rounds']) {
        const list = given[name].split(',').map(Number);
        if (!list.every((n) => Number.isInteger(n) && n > 0) || (name === 'rounds' && list.length > 1))
            quit(2, `--${name} is "${given[name]}" and should be ` +
                `${name === 'rounds' ? 'a whole number' : 'whole numbers between commas'}, from 1`);
        given[name] = list;
    }
    given.seconds = Number(given.seconds);
    if (!(given.seconds >= 0)) quit(2, '--seconds takes a number from 0');
    return given;
}

const median = (numbers) => {
    const n = numbers.length, sorted = numbers.slice().sort((a, b) => a - b);
    return (sorted[(n - 1) >> 1] + sorted[n >> 1]) / 2;
};

// A turn of ONNX Runtime: the body of a process of its own, which prints images a second.
async function work(given) {
    const ort = runtime(), [batch] = given.batch;
    const shape = metadata(given.worker).selftest_shape.split(',').map(Number);
    const session = await ort.InferenceSession.create(given.worker, {
        intraOpNumThreads: given.threads[0], interOpNumThreads: 1, graphOptimizationLevel: 'all',
        executionMode: 'sequential', logSeverityLevel: 3});
    shape[0] = batch;
    const images = Float32Array.from({length: shape.reduce((a, b) => a * b)}, () => Math.random() * 2 - 1);
    const feeds = {input: new ort.Tensor('float32', images, shape)}, times = [];
    for (let i = 0; i < 2; i++) await session.run(feeds);
    const now = () => Number(process.hrtime.bigint()) / 1e9, begun = now();
    while (times.length < 5 || now() - begun < given.seconds) {
        const before = now();
        await session.run(feeds);
        times.push(now() - before);
    }
    console.log(batch / median(times));
}

// What a program prints; its sentence ends this one if it fails.
function run(program, words, environment) {
    const done = spawnSync(program, words, {encoding: 'utf8', env: {...process.env, ...environment},
                                            maxBuffer: 1 << 26});
    if (done.error) quit(1, `${program}: ${done.error.message}`);
    if (done.signal) quit(1, `${program} was ended by ${done.signal}`);
    if (done.status !== 0) quit(done.status === 2 ? 2 : 1, done.stderr.trim().slice(-500));
    return done.stdout;
}

const tool = (name) => path.join(__dirname, name);

function timeOurs(given, weights, batch, threads) {
    const text = run(tool('bench'), ['--weights', weights, '--mode', 'infer', '--batch', batch, '--threads',
                                     threads, '--isa', given.isa, '--seconds', given.seconds].map(String));
    return Number(/: ([0-9.]+) images\/s/.exec(text)[1]);
}

// Numbers lie in large pages where Linux has them, as those of resnet.h do.
function timeTheirs(given, model, batch, threads) {
    return Number(run(process.execPath, [__filename, '--worker', model, '--batch', batch, '--threads', threads,
                                         '--seconds', given.seconds].map(String),
                      {GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1'}));
}

// The rows of a net.
async function compare(given, ort, directory, net) {
    const weights = given.weights || path.join(directory, 'weights'), model = path.join(directory, 'model.onnx');
    if (!given.weights) run(tool('bench'), ['--net', net, '--isa', given.isa, '--save', weights]);
    run(tool('export_onnx'), [weights, model]);
    const apart = Math.max(...await check(ort, model));
    if (!(apart <= BOUND))
        quit(1, `${net}: ONNX Runtime's logits are ${apart.toExponential(1)} of the largest away from ` +
            `those of resnet.h (allowed: ${BOUND}): no figures`);
    for (const batch of given.batch) {
        for (const threads of given.threads) {
            const ours = [], theirs = [];
            const turns = [() => ours.push(timeOurs(given, weights, batch, threads)),
                           () => theirs.push(timeTheirs(given, model, batch, threads))];
            for (let round = 0; round < given.rounds[0]; round++) {
                turns[round % 2]();
                turns[1 - round % 2]();
            }
            console.log(`| ${net} | ${batch} | ${threads} | ${median(ours).toFixed(1)} | ` +
                `${median(theirs).toFixed(1)} | ${(median(ours) / median(theirs)).toFixed(2)} x |`);
        }
    }
}

async function main() {
    const given = parse(process.argv.slice(2));
    if (given.worker) return work(given);
    for (const name of ['bench', 'export_onnx'])
        if (!fs.existsSync(tool(name))) quit(1, `there is no tools/${name}; make -C tools builds it`);
    const ort = runtime(), directory = fs.mkdtempSync(path.join(os.tmpdir(), 'compare_ort.'));
    const clear = () => fs.rmSync(directory, {recursive: true, force: true});
    process.on('exit', clear);
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
    const {node, common} = ort.env.versions;
    console.log(`predictions, ONNX Runtime ${node || common}, instruction set ${given.isa}, ${given.rounds[0]} ` +
        'rounds, images/s\n\n| net | batch | threads | resnet.h | ONNX Runtime | ratio |\n|---|---|---|---|---|---|');
    for (const net of given.weights ? [given.weights] : given.net.split(','))
        await compare(given, ort, directory, net);
    return undefined;
}

main();
