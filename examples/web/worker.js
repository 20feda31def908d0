// worker.js - the net's own thread: loads resnet.wasm and the images, trains step by step, and answers
// between steps, so that the page stays responsive.
//
// The page sends {type, ...}, and gets {type, ...}:
//
//     create {depth, rate, epochs, seed}     created {steps, parameters}
//     run, pause                             steps {first, losses, trained, seconds}, tested {step, right, of}, done
//     show {first, count}                    shown {first, probabilities}
//     classify {width, height, pixels}       classified {probabilities, seen}
//     -                                      ready {tests, batch, pixels, labels}, failed {text}
'use strict';

const FILES = ['train-images-idx3-ubyte', 'train-labels-idx1-ubyte', 't10k-images-idx3-ubyte',
    't10k-labels-idx1-ubyte'];
const CLASSES = 10, PIXELS = 28 * 28;
const TEST_EVERY = 50, TEST_IMAGES = 500; // behind the last step all images are tested
const TURN = 40; // milliseconds of training between two looks for messages

let net; // what web.c exports
let tests = 0, batch = 0;
let step = 0, steps = 0, running = false; // steps 0: there is no net

// ---- the module's memory -----------------------------------------------------------------------------

const bytes = (address, count) => new Uint8Array(net.memory.buffer, address, count);

function sentence() {
    const all = new Uint8Array(net.memory.buffer), begin = net.web_error();
    return new TextDecoder().decode(all.subarray(begin, all.indexOf(0, begin)));
}

// The result of a call, of which 0 and what is below are failures.
function checked(result) {
    if (!(result > 0)) throw new Error(sentence());
    return result;
}

const probabilities = (address, count) =>
    new Float32Array(net.memory.buffer, checked(address), count * CLASSES).slice();

// ---- loading -----------------------------------------------------------------------------------------

async function fetched(path) {
    let answer;
    try {
        answer = await fetch(path);
    } catch (error) {
        throw new Error(`${path} cannot be loaded: is the server still there?`);
    }
    if (!answer.ok) throw new Error(`${path} is not on the server (${answer.status}); run make first`);
    return answer.arrayBuffer();
}

async function load() {
    const [code, ...files] = await Promise.all(['resnet.wasm', ...FILES.map(f => `data/${f}`)].map(fetched));
    net = (await WebAssembly.instantiate(code, {})).instance.exports;
    files.forEach((file, i) => {
        const place = checked(net.web_file(i, file.byteLength));
        bytes(place, file.byteLength).set(new Uint8Array(file));
    });
    tests = checked(net.web_load());
    batch = net.web_batch();
    postMessage({type: 'ready', tests, batch,
        pixels: bytes(net.web_test_pixels(), tests * PIXELS).slice(),
        labels: bytes(net.web_test_labels(), tests).slice()});
}

// ---- training ----------------------------------------------------------------------------------------

// How many of the first `count` test images are right.
function test(count) {
    const labels = bytes(net.web_test_labels(), tests).slice();
    let right = 0;
    for (let first = 0; first < count; first += batch) {
        const some = Math.min(batch, count - first), p = probabilities(net.web_predict(first, some), some);
        for (let i = 0; i < some; i++) {
            const own = p.subarray(i * CLASSES, (i + 1) * CLASSES);
            if (own.indexOf(Math.max(...own)) === labels[first + i]) right++;
        }
    }
    postMessage({type: 'tested', step, right, of: count});
}

// Trains for a turn, or to the next test.
function train() {
    const begin = performance.now(), losses = [], first = step;
    do {
        const loss = net.web_step();
        if (loss < 0) throw new Error(sentence());
        losses.push(loss);
        step++;
    } while (step < steps && step % TEST_EVERY !== 0 && performance.now() - begin < TURN);
    postMessage({type: 'steps', first, losses, trained: losses.length * batch,
        seconds: (performance.now() - begin) / 1000});
    if (step === steps) {
        running = false;
        test(tests);
        postMessage({type: 'done'});
    } else if (step % TEST_EVERY === 0) test(Math.min(tests, TEST_IMAGES));
}

// The next turn comes behind the messages that wait. (setTimeout would idle for 4 ms.)
const turns = new MessageChannel();
let waiting = false; // 1 turn at most
turns.port1.onmessage = () => {
    waiting = false;
    if (!running) return;
    guarded(train);
    go();
};
function go() {
    if (!running || waiting) return;
    waiting = true;
    turns.port2.postMessage(0);
}

// ---- messages ----------------------------------------------------------------------------------------

const answers = {
    create({depth, rate, epochs, seed}) {
        running = false;
        step = steps = 0;
        steps = checked(net.web_create(depth, rate, epochs, seed));
        postMessage({type: 'created', steps, parameters: net.web_parameters()});
    },
    run() {
        running = step < steps;
        go();
    },
    pause() {
        running = false;
    },
    show({first, count}) {
        postMessage({type: 'shown', first, probabilities: probabilities(net.web_predict(first, count), count)});
    },
    classify({width, height, pixels}) {
        bytes(checked(net.web_picture(height, width)), pixels.length).set(pixels);
        postMessage({type: 'classified', probabilities: probabilities(net.web_classify(height, width), 1),
            seen: bytes(net.web_seen(), PIXELS).slice()});
    },
};

function failed(error) {
    running = false;
    postMessage({type: 'failed', text: error.message});
}

function guarded(action) {
    try {
        action();
    } catch (error) {
        failed(error);
    }
}

onmessage = ({data}) => guarded(() => (steps || data.type === 'create') && answers[data.type](data));
load().catch(failed);
