#!/usr/bin/env node
// web.js - examples/web in Chromium without a window: it trains, the loss falls, test images are
// named, what is drawn or dropped is classified, it works without the server, nothing complains.
//
//     tests/web.js [DIRECTORY]      screenshots into DIRECTORY, if it is given
//
// web.sh builds the page and calls this.
'use strict';
const fs = require('fs'), http = require('http'), os = require('os'), path = require('path');
const browser = require('./browser.js');
const {LIGHT, DARK, order, script, devtools, element, press, view} = browser;

const ROOT = path.join(__dirname, '../examples/web'), PREFIX = '/some/place/';
const TYPES = {'.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript', '.wasm': 'application/wasm'};
const PHONE = {width: 390, height: 844, deviceScaleFactor: 2, mobile: true};
const DESK = {width: 1280, height: 800, deviceScaleFactor: 1, mobile: false};

let checks = 0, failures = 0;
function check(what, holds, found = '') {
    checks++;
    if (holds) return;
    failures++;
    console.log(`web: failed: ${what} ${found}`);
}

// ---- the server, which keeps a list of what was asked for --------------------------------------------

const asked = [];
function answer(request, response) {
    const name = request.url.startsWith(PREFIX) ? request.url.slice(PREFIX.length) || 'index.html' : '';
    const file = path.join(ROOT, name), there = name && fs.existsSync(file);
    asked.push(`${there ? 200 : 404} ${request.url}`);
    response.writeHead(there ? 200 : 404, {'Content-Type': TYPES[path.extname(file)] || 'application/octet-stream'});
    response.end(there ? fs.readFileSync(file) : 'not here');
}

// Waits until an expression is true in the page.
async function until(expression, seconds = 30) {
    for (const end = Date.now() + 1000 * seconds; Date.now() < end; await new Promise(go => setTimeout(go, 50)))
        if (await script(`return ${expression}`)) return;
    throw new Error(`after ${seconds} s it does not hold: ${expression}; the page says: ${
        await script('return document.querySelector("#problem").textContent + document.querySelector("#state").textContent')}`);
}

// ---- what is looked at -------------------------------------------------------------------------------

const mean = list => list.reduce((sum, x) => sum + x, 0) / list.length;
const set = (id, value) => script('const e = document.getElementById(arguments[0]); e.value = arguments[1];' +
    'e.dispatchEvent(new Event("change"))', id, value);
const losses = () => script('return run.losses');

async function checkWidth(name, {width}) {
    const scroll = await browser.scrollWidth();
    check(`${name}: no scrolling sideways`, scroll <= width, `${scroll} > ${width}`);
}

// An epoch of training, from the buttons of the page. Returns its losses.
async function checkTraining() {
    await set('epochs', '1');
    await until('state === "ready"');
    await press('#start');
    await until('state === "done"', 300);
    const all = await losses(), [step, share, of] = await script('return run.tests[run.tests.length - 1]');
    const first = mean(all.slice(0, 10)), last = mean(all.slice(-10));
    check('an epoch has 200 steps', all.length === 200 && step === 200, `${all.length}`);
    check('the loss falls below half', last < first / 2, `from ${first} to ${last}`);
    check('of 2,000 test images more than 60 % are right', share > 0.6 && of === 2000, `${share} of ${of}`);
    console.log(`web: loss ${first.toFixed(2)} to ${last.toFixed(2)}, ${(100 * share).toFixed(1)} % right, ` +
        `${await script('return document.querySelector("#pace").textContent')} images/s`);
    const marked = await script('return [...document.querySelectorAll("#grid .right strong")].length');
    check('of the 24 test images shown most are marked as right', marked > 12, `${marked}`);
    return all;
}

// The losses of the first steps of a new net of this seed, which is reset while it trains.
async function begin(seed) {
    await set('seed', seed);
    await until('state === "ready"');
    await press('#start');
    await until('run.losses.length >= 8', 100);
    const some = await losses();
    await press('#reset');
    await until('state === "ready"');
    check('a net that is reset has no losses', await script('return !run.losses.length'));
    return some.slice(0, 8);
}

// Test images of which the net is sure, of different classes: [{label, index}].
const SURE = `const done = arguments[arguments.length - 1], found = {}, page = worker.onmessage;
    const show = first => worker.postMessage({type: 'show', first, count: data.batch});
    worker.onmessage = ({data: {type, first, probabilities}}) => {
        if (type !== 'shown') return;
        for (let i = 0; i < data.batch; i++) {
            const label = data.labels[first + i];
            if (probabilities[10 * i + label] > 0.9) found[label] = first + i;
        }
        if (first < 100) return show(first + data.batch);
        worker.onmessage = page;
        done(Object.entries(found).map(([label, index]) => ({label: CLASSES[label], index})));
    };
    show(0);`;

// Drops test image `index`, ten times as large, white on black or black on white.
const DROP = `const [index, inverted] = arguments, canvas = new OffscreenCanvas(280, 280), c = canvas.getContext('2d');
    for (let i = 0; i < 784; i++) {
        const v = Math.abs(inverted * 255 - data.pixels[784 * index + i]);
        c.fillStyle = 'rgb(' + [v, v, v] + ')';
        c.fillRect(i % 28 * 10, Math.floor(i / 28) * 10, 10, 10);
    }
    return canvas.convertToBlob().then(blob => {
        const files = new DataTransfer();
        files.items.add(new File([blob], 'picture.png', {type: 'image/png'}));
        bars();
        document.querySelector('#verdict').textContent = '';
        document.body.dispatchEvent(new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: files}));
    });`;

async function checkDropped() {
    const sure = await order('execute/async', {script: SURE, args: []});
    check('the net is sure of test images of four classes', sure.length >= 4, JSON.stringify(sure));
    for (const inverted of [0, 1])
        for (const {label, index} of sure) {
            await script(DROP, index, inverted);
            await until('document.querySelector("#verdict").textContent && !asked');
            const verdict = await script('return document.querySelector("#verdict").textContent');
            check(`test image ${index}${inverted ? ', inverted,' : ''} dropped is a ${label}`, verdict.startsWith(label), verdict);
        }
}

// Test images that are pressed go to the pad, and are there what they were.
async function checkPressed() {
    for (let i = 0; i < 24; i += 3) {
        await script('document.querySelector("#verdict").textContent = ""; $("grid").children[arguments[0]].firstChild.click()', i);
        await until('document.querySelector("#verdict").textContent && !asked');
        const [verdict, below] = await script('return [$("verdict").textContent, $("grid").children[arguments[0]].textContent]', i);
        const same = below.startsWith(verdict.replace(/, (.*)/, '✓ $1')) || below.startsWith(verdict.replace(/, (.*)/, '✗ $1'));
        check(`test image ${i + 1} is on the pad what it is in the grid`, same, `${verdict}; ${below}`);
    }
}

// Draws a line through points of the pad, in shares of its side, with the pointer.
async function stroke(points) {
    const [x, y, side] = await script('const b = pad.getBoundingClientRect(); return [b.x, b.y, b.width]');
    const moves = points.map(p => ({type: 'pointerMove', duration: 30, x: Math.round(x + p[0] * side), y: Math.round(y + p[1] * side)}));
    await order('actions', {actions: [{type: 'pointer', id: 'finger', parameters: {pointerType: 'touch'},
        actions: [moves[0], {type: 'pointerDown', button: 0}, ...moves.slice(1), {type: 'pointerUp', button: 0}]}]});
}

async function checkDrawn() {
    await script('pad.scrollIntoView({block: "center"})');
    await press('#clear');
    await set('brush', '14');
    await until('!asked');
    check('an empty pad has no class', /nothing/.test(await script('return document.querySelector("#verdict").textContent')));
    await stroke([[0.4, 0.05], [0.6, 0.05], [0.66, 0.95], [0.57, 0.95], [0.5, 0.25], [0.43, 0.95], [0.34, 0.95], [0.4, 0.05]]);
    await until('document.querySelector("#bars .first") && !asked');
    const shares = await script('return [...document.querySelectorAll("#bars .bar span")].map(e => parseFloat(e.style.width))');
    check('the bars of a drawing are 100 % together', Math.abs(mean(shares) * 10 - 100) < 0.1, `${shares}`);
    const verdict = await script('return document.querySelector("#verdict").textContent');
    check('trousers that are drawn are trousers', verdict.startsWith('trouser'), verdict);
}

// A file that is chosen: a page of text is refused in words.
async function checkChosen(directory) {
    const file = path.join(directory, 'words.txt');
    fs.writeFileSync(file, 'no picture');
    await order(`element/${await element('#file')}/value`, {text: file});
    await until('/cannot read words.txt/.test(document.querySelector("#refused").textContent)');
    check('a file that is no picture is refused in words', true);
}

// By keyboard: Space held down, arrow keys.
async function checkKeys() {
    const key = (type, value) => ({type, value});
    const right = [key('keyDown', '\uE014'), key('keyUp', '\uE014')];
    await press('#clear');
    await script('pad.focus()');
    await order('actions', {actions: [{type: 'key', id: 'keys', actions: [key('keyDown', ' '), ...right, ...right, key('keyUp', ' ')]}]});
    await until('document.querySelector("#bars .first") && !asked');
    check('arrow keys draw', await script('return ink.getImageData(SIDE / 2 + 24, SIDE / 2, 1, 1).data[0]') === 255);
}

// What the page says where it cannot run.
async function checkObstacles(address) {
    const words = () => script('return document.querySelector("#problem").textContent');
    const {identifier} = await devtools('Page.addScriptToEvaluateOnNewDocument',
        {source: 'WebAssembly.validate = () => false'});
    await order('url', {url: address});
    check('without SIMD it says so', /without SIMD/.test(await words()), await words());
    await devtools('Page.removeScriptToEvaluateOnNewDocument', {identifier});
    await order('url', {url: `file://${ROOT}/index.html`});
    check('opened as a file it says what to do', /make -C examples\/web serve/.test(await words()), await words());
}

// The module needs nothing from outside, and its inner loops are vectors.
function checkModule() {
    const code = fs.readFileSync(path.join(ROOT, 'resnet.wasm')), product = Buffer.from([0xfd, 0xe6, 0x01]);
    let products = 0; // f32x4.mul
    for (let at = code.indexOf(product); at >= 0; at = code.indexOf(product, at + 1)) products++;
    check('resnet.wasm imports nothing', !WebAssembly.Module.imports(new WebAssembly.Module(code)).length);
    check('its kernels multiply vectors', products > 400, `${products} times`);
}

async function checkLog(when) {
    const lines = await browser.complaints();
    check(`${when}: no errors and no warnings`, !lines.length, lines.join(''));
}

async function all(server, directory) {
    checkModule();
    await browser.openBrowser(path.join(directory, 'profile'));
    const address = `http://127.0.0.1:${server.address().port}${PREFIX}`;
    await view(PHONE, LIGHT);
    await order('url', {url: address});
    await until('state === "ready"');
    await checkWidth('phone', PHONE);
    const trained = await checkTraining();
    await checkWidth('phone, trained', PHONE);
    await checkPressed();
    await checkDropped();
    await checkDrawn();
    await checkKeys();
    await browser.picture(process.argv[2], 'phone-light');
    await view(PHONE, DARK);
    await browser.picture(process.argv[2], 'phone-dark');
    await view(DESK, DARK);
    await checkWidth('desk', DESK);
    await browser.picture(process.argv[2], 'desk-dark');
    await view(DESK, LIGHT);
    await checkChosen(directory);
    await press('#clear');
    await script('document.querySelector("#grid button").click()');
    await until('/Works offline/.test(document.querySelector("#offline").textContent)');
    await browser.picture(process.argv[2], 'desk-light');
    await checkLog('with the server');
    await checkObstacles(address);
    await checkLog('where it cannot run');
    await order('url', {url: address});
    const foreign = asked.filter(line => !line.startsWith(`200 ${PREFIX}`));
    check('only the page\'s own files are asked for', !foreign.length, foreign.join(', '));

    server.closeAllConnections();
    await new Promise(done => server.close(done));
    await order('refresh');
    const opens = await script('return typeof state !== "undefined"');
    check('without the server it opens', opens);
    if (!opens) return;
    await until('state === "ready"');
    check('without the server no picture of the data set is lost', await script('return data.tests === 2000'));
    await set('epochs', '1');
    const other = await begin('2'), again = await begin('1');
    check('another seed gives another curve', other.every((l, i) => l !== trained[i]), `${other}`);
    check('without the server the same seed gives the same curve', again.every((l, i) => l === trained[i]), `${again}`);
    await checkLog('without the server');
}

async function main() {
    const server = http.createServer(answer).listen(0, '127.0.0.1');
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'web-'));
    try {
        await all(server, directory);
    } catch (error) {
        check('it ran to its end:', false, `${error.message} ${error.cause || ''}`);
    }
    await browser.closeBrowser();
    server.closeAllConnections();
    server.close();
    fs.rmSync(directory, {recursive: true, force: true, maxRetries: 10, retryDelay: 100});
    console.log(`web: ${checks} checks, ${failures} failed`);
    process.exitCode = failures ? 1 : 0;
}
main();
