// page.js - the page: controls, curves, test images and the drawing pad. The net is in worker.js.
'use strict';

const CLASSES = ['T-shirt', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag', 'boot'];
const SIZE = 28, SHOWN = 24; // pixels of a side; test images on the page at a time
const SMOOTH = 10; // the thick line is the mean loss of so many steps before and behind

const $ = id => document.getElementById(id);
const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
};
const percent = p => `${p > 0.995 && p < 1 ? '>99' : Math.round(100 * p)}\u00a0%`;
const minutes = s => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, '0')}`;
const count = n => n.toLocaleString('en');

// ---- what can go wrong -------------------------------------------------------------------------------

function complain(text) {
    $('problem').textContent = text;
    $('problem').hidden = false;
}

// A module that only takes a vector apart: valid where WebAssembly has SIMD.
const SIMD = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0,
    253, 15, 253, 98, 11]);

// A sentence if the net cannot run here.
function obstacle() {
    if (location.protocol === 'file:')
        return 'Browsers do not let a page opened as a file load its net. Serve it: make -C examples/web serve, ' +
            'then open http://localhost:8000';
    if (typeof WebAssembly !== 'object' || typeof Worker !== 'function')
        return 'This browser has no WebAssembly or no workers, which the net needs. Any browser since 2021 has both.';
    if (!WebAssembly.validate(SIMD))
        return 'This browser has WebAssembly without SIMD (vector instructions), which the net is compiled for. ' +
            'Chrome or Edge 91, Firefox 89, Safari 16.4 and later ones have it.';
    return '';
}

// ---- the state of training ---------------------------------------------------------------------------

const empty = steps => ({losses: [], tests: [], steps});
let worker, data; // data: the worker's `ready`
let state = 'loading'; // then ready, running, paused, done
let run = empty(0), before = empty(0); // losses by step, tests [step, share right]; this training and the last one
let recent = []; // [time, images, seconds of training] of the last turns, for the pace
let begun = {time: 0, step: 0}; // when it was started or continued last, for the time left

const LABELS = {loading: 'Start', ready: 'Start', running: 'Pause', paused: 'Continue', done: 'Train again'};

function enter(next, words) {
    state = next;
    $('start').textContent = LABELS[state];
    $('start').disabled = state === 'loading';
    $('reset').disabled = state === 'loading' || state === 'ready';
    for (const id of ['depth', 'rate', 'epochs', 'seed']) $(id).disabled = state === 'running' || state === 'paused';
    if (words) $('state').textContent = words;
}

function create() {
    const number = id => Number($(id).value);
    if (!$('controls').reportValidity()) return false;
    if (run.losses.length) before = run;
    run = empty(0);
    recent = [];
    $('problem').hidden = true;
    enter('loading');
    worker.postMessage({type: 'create', depth: number('depth'), rate: number('rate'), epochs: number('epochs'),
        seed: number('seed')});
    return true;
}

let startsNext = false; // a new net is on its way, and to be trained at once

function start() {
    begun = {time: performance.now(), step: run.losses.length};
    recent = [];
    enter('running', 'Training…');
    worker.postMessage({type: 'run'});
}

$('controls').addEventListener('submit', event => {
    event.preventDefault();
    if (state === 'ready' || state === 'paused') start();
    else if (state === 'done') startsNext = create();
    else if (state === 'running') {
        worker.postMessage({type: 'pause'});
        enter('paused', 'Paused.');
        draw();
    }
});
$('reset').addEventListener('click', create);
for (const id of ['depth', 'rate', 'epochs', 'seed'])
    $(id).addEventListener('change', () => data && (state === 'ready' || state === 'loading') && create());

// ---- what the worker tells ---------------------------------------------------------------------------

const hears = {
    ready(message) {
        data = message;
        show(0);
        create();
    },
    created({steps, parameters}) {
        run = empty(steps);
        asked = false;
        $('size').textContent = `With ${$('depth').value} layers it has ${count(parameters)} weights, drawn at random ` +
            'at first: all of them are trained.';
        enter('ready', `Ready: ${count(steps)} steps of ${data.batch} pictures.`);
        ask();
        classify();
        if (startsNext) start();
        startsNext = false;
        draw();
    },
    steps({losses, trained, seconds}) {
        if (state === 'loading') return; // of a net that is no more
        run.losses.push(...losses);
        recent.push([performance.now(), trained, seconds]);
        while (recent.length > 3 && recent[0][0] < performance.now() - 3000) recent.shift();
        draw();
    },
    tested({step, right, of}) {
        if (state === 'loading') return;
        run.tests.push([step, right / of, of]);
        ask();
        classify();
        draw();
    },
    done() {
        if (state === 'loading') return;
        const [, share, of] = run.tests[run.tests.length - 1];
        enter('done', `Done in ${run.losses.length} steps: of ${count(of)} test images ${(100 * share).toFixed(1)}\u00a0% right.`);
        draw();
    },
    shown: ({first, probabilities}) => first === shownFirst && caption(probabilities),
    classified,
    failed({text}) {
        complain(`The net stopped: ${text}.`);
        asked = false;
        enter(data ? 'done' : 'loading', 'Stopped.');
        $('start').disabled = !data;
    },
};

// ---- tiles and curves --------------------------------------------------------------------------------

const mean = list => list.reduce((sum, x) => sum + x, 0) / list.length;

function tiles() {
    const done = run.losses.length, last = run.tests[run.tests.length - 1];
    const trained = recent.reduce((sum, r) => sum + r[1], 0), seconds = recent.reduce((sum, r) => sum + r[2], 0);
    const each = (performance.now() - begun.time) / 1000 / (done - begun.step);
    $('loss').textContent = done ? mean(run.losses.slice(-SMOOTH)).toFixed(3) : '–';
    $('accuracy').textContent = last ? `${(100 * last[1]).toFixed(1)}\u00a0%` : '–';
    $('pace').textContent = seconds ? count(Math.round(trained / seconds)) : '–';
    $('left').textContent = state === 'done' ? '0:00' :
        state === 'running' && done > begun.step ? minutes(each * (run.steps - done)) : '–';
    $('at').textContent = done && state !== 'done' ? `step ${count(done)} of ${count(run.steps)}` : '';
    $('progress').value = run.steps ? done / run.steps : 0;
    if (state === 'running' && done) $('progress').setAttribute('aria-valuetext', `step ${done} of ${run.steps}`);
    $('curves-text').textContent = !done ? 'Nothing is trained yet.' :
        `After ${done} of ${run.steps} steps the loss has gone from ${run.losses[0].toFixed(2)} to ` +
        `${$('loss').textContent}` + (last ? `, and ${$('accuracy').textContent} of the test images are right.` : '.');
}

// One of the two plots, which lie above each other: values 0 to `most` in the rectangle.
function axes(box, name, most, ticks, label, steps, words) {
    const y = v => box.top + box.height * (1 - v / most), x = s => box.left + box.width * s / steps;
    let out = `<text class="name" x="${box.left}" y="${box.top - 10}">${name}</text>`;
    for (const v of ticks)
        out += `<line class="rule" x1="${box.left}" x2="${box.left + box.width}" y1="${y(v)}" y2="${y(v)}"/>` +
            `<text x="${box.left - 6}" y="${y(v) + 4}" text-anchor="end">${label(v)}</text>`;
    for (let i = 0; words && i <= 4; i++)
        out += `<text x="${x(steps * i / 4)}" y="${box.top + box.height + 17}" text-anchor="${i === 4 ? 'end' : i ? 'middle' : 'start'}">` +
            `${i === 0 ? 'step 0' : Math.round(steps * i / 4)}</text>`;
    const line = (kind, points) => points.length < 2 ? '' :
        `<polyline class="${kind}" points="${points.map(([s, v]) =>
            `${x(Math.min(s, steps)).toFixed(1)},${y(Math.min(v, most)).toFixed(1)}`).join(' ')}"/>`;
    return {x, y, out, line};
}

const smoothed = losses => losses.map((_, i) => [i + 1, mean(losses.slice(Math.max(0, i - SMOOTH), i + SMOOTH + 1))]);
const within = (points, steps) => points.filter(([s]) => s <= steps);

function curves() {
    const {width, height} = $('curves').getBoundingClientRect(), steps = run.steps || 400;
    const left = 44, gap = 34, foot = 24, top = 24, each = (height - top - gap - foot) / 2;
    const most = Math.max(2.5, Math.ceil(2 * Math.max(0, ...run.losses.slice(0, 1))) / 2);
    const box = {left, width: width - left - 8, top, height: each};
    const loss = axes(box, 'Training loss', most, [0, most / 2, most], v => v.toFixed(v % 1 && (2 * v) % 1 ? 2 : 1), steps);
    const right = axes({...box, top: top + each + gap}, 'Test images right', 1, [0, 0.5, 1], v => `${100 * v} %`, steps, true);
    const legend = before.losses.length ?
        `<text x="${width - 8}" y="${top - 10}" text-anchor="end">dashed: the training before</text>` : '';
    $('curves').setAttribute('viewBox', `0 0 ${width} ${height}`);
    $('plot').innerHTML = legend + loss.out + right.out +
        loss.line('before', within(smoothed(before.losses), steps)) +
        loss.line('loss each', run.losses.map((l, i) => [i + 1, l])) + loss.line('loss', smoothed(run.losses)) +
        right.line('before', within(before.tests, steps)) + right.line('accuracy', run.tests) +
        run.tests.map(([s, v]) => `<circle cx="${right.x(s).toFixed(1)}" cy="${right.y(v).toFixed(1)}" r="3"/>`).join('');
}

let drawn = false; // or to be drawn with the next frame
function draw() {
    if (drawn) return;
    drawn = true;
    requestAnimationFrame(() => {
        drawn = false;
        tiles();
        curves();
    });
}

// ---- test images -------------------------------------------------------------------------------------

let shownFirst = 0;

// Grey pixels as a canvas of their size.
function canvasOf(pixels, canvas = make('canvas')) {
    canvas.width = canvas.height = SIZE;
    const context = canvas.getContext('2d'), image = context.createImageData(SIZE, SIZE);
    pixels.forEach((p, i) => image.data.set([p, p, p, 255], 4 * i));
    context.putImageData(image, 0, 0);
    return canvas;
}

function show(first) {
    const shown = Math.min(SHOWN, data.tests - first);
    shownFirst = first;
    $('range').textContent = `${first + 1}–${first + shown} of ${count(data.tests)}`;
    $('previous').disabled = first === 0;
    $('next').disabled = first + shown >= data.tests;
    $('grid').replaceChildren(...Array.from({length: shown}, (_, i) => {
        const pixels = data.pixels.subarray((first + i) * SIZE * SIZE, (first + i + 1) * SIZE * SIZE);
        const canvas = canvasOf(pixels);
        canvas.setAttribute('aria-hidden', 'true');
        const button = make('button', {type: 'button'}, canvas, make('strong'), make('strong'), make('span'));
        button.addEventListener('click', () => {
            put(canvas);
            pad.scrollIntoView({block: 'nearest'});
        });
        return make('li', {}, button);
    }));
    caption();
}

// Asks for the predictions of the images that are shown.
const ask = () => worker.postMessage({type: 'show', first: shownFirst, count: $('grid').children.length});

function largest(probabilities, first = 0) {
    let best = 0;
    for (let k = 1; k < CLASSES.length; k++) if (probabilities[first + k] > probabilities[first + best]) best = k;
    return best;
}

// Writes under each image what the net says of it; without probabilities what it is.
function caption(probabilities) {
    [...$('grid').children].forEach((item, i) => {
        const button = item.firstChild, [, said, mark, truth] = button.children;
        const label = data.labels[shownFirst + i], number = `Test image ${shownFirst + i + 1}`;
        if (!probabilities) {
            truth.textContent = CLASSES[label];
            button.setAttribute('aria-label', `${number}, ${CLASSES[label]}`);
            return;
        }
        const best = largest(probabilities, i * CLASSES.length), sure = percent(probabilities[i * CLASSES.length + best]);
        const right = best === label;
        button.className = right ? 'right' : 'wrong';
        said.textContent = CLASSES[best];
        mark.textContent = `${right ? '✓' : '✗'} ${sure}`;
        truth.textContent = right ? '' : `is ${CLASSES[label]}`;
        button.setAttribute('aria-label', `${number}, ${CLASSES[label]}: the net says ${CLASSES[best]}, ${sure}, ` +
            (right ? 'right' : 'wrong'));
    });
}

function turn(by) {
    show(Math.max(0, Math.min(shownFirst + by, data.tests - 1)));
    ask();
}
$('previous').addEventListener('click', () => turn(-SHOWN));
$('next').addEventListener('click', () => turn(SHOWN));

// ---- the drawing pad ---------------------------------------------------------------------------------

const pad = $('pad'), ink = pad.getContext('2d', {willReadFrequently: true}), SIDE = pad.width;
let area; // of the pad that is looked at: all of it, or that of a picture: x, y, width, height
let grain; // pixels of the pad, across and down, that are one of a picture of 28 x 28; else 1
let isEmpty;

function clear() {
    ink.fillStyle = '#000';
    ink.fillRect(0, 0, SIDE, SIDE);
    area = [0, 0, SIDE, SIDE];
    grain = 1;
    isEmpty = true;
    $('refused').hidden = true;
}

// Puts a picture on the pad, as large as it goes, on white where it is transparent.
function put(picture) {
    const scale = SIDE / Math.max(picture.width, picture.height);
    const [width, height] = [picture.width, picture.height].map(n => Math.max(1, Math.round(n * scale)));
    clear();
    area = [Math.floor((SIDE - width) / 2), Math.floor((SIDE - height) / 2), width, height];
    ink.fillStyle = '#fff';
    ink.fillRect(...area);
    ink.imageSmoothingEnabled = scale < 1; // pixels stay pixels
    ink.imageSmoothingQuality = 'high';
    ink.drawImage(picture, ...area);
    grain = picture.width === SIZE && picture.height === SIZE ? scale : 1;
    isEmpty = false;
    classify();
}

// A stroke, from its first point to where the brush is.
let stroke = [];

function brushTo(point) {
    const from = stroke[stroke.length - 1] || point;
    stroke.push(point);
    ink.strokeStyle = ink.fillStyle = '#fff';
    ink.lineWidth = Number($('brush').value);
    ink.lineCap = ink.lineJoin = 'round';
    ink.beginPath();
    ink.moveTo(...from);
    ink.lineTo(...point);
    ink.stroke();
    grain = 1;
    isEmpty = false;
    classify();
}

function lift() {
    if (stroke.length > 2 && $('fill').checked) {
        ink.beginPath();
        stroke.forEach(point => ink.lineTo(...point));
        ink.closePath();
        ink.fill();
        classify();
    }
    stroke = [];
}

const place = event => {
    const box = pad.getBoundingClientRect();
    return [(event.clientX - box.left) * SIDE / box.width, (event.clientY - box.top) * SIDE / box.height];
};
pad.addEventListener('pointerdown', event => {
    if (event.button !== 0) return;
    pad.setPointerCapture(event.pointerId);
    stroke = [];
    brushTo(place(event));
});
pad.addEventListener('pointermove', event => {
    if (stroke.length && pad.hasPointerCapture(event.pointerId)) brushTo(place(event));
});
pad.addEventListener('lostpointercapture', lift);

// By keyboard: a brush that arrow keys move, and that draws while Space is down.
const MOVES = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
let brushAt = [SIDE / 2, SIDE / 2], isDown = false;
pad.addEventListener('keydown', event => {
    const move = MOVES[event.key];
    if (move) brushAt = brushAt.map((at, i) => Math.max(0, Math.min(SIDE, at + 12 * move[i])));
    else if (event.key === 'Delete') wipe();
    else if (event.key !== ' ') return;
    event.preventDefault();
    isDown = isDown || event.key === ' ';
    if (isDown && (move || !stroke.length)) brushTo([...brushAt]);
});
const release = () => {
    isDown = false;
    lift();
};
pad.addEventListener('keyup', event => event.key === ' ' && release());
pad.addEventListener('blur', release);

function wipe() {
    clear();
    classify();
}
$('clear').addEventListener('click', wipe);

// ---- pictures that come as files ---------------------------------------------------------------------

async function take(file) {
    let picture;
    if (!file) return;
    try {
        picture = await createImageBitmap(file);
    } catch (error) {
        $('refused').textContent = `This browser cannot read ${file.name} as a picture. Try a PNG or JPEG.`;
        $('refused').hidden = false;
        return;
    }
    put(picture);
    picture.close();
}

$('choose').addEventListener('click', () => $('file').click());
$('file').addEventListener('change', () => {
    take($('file').files[0]);
    $('file').value = '';
});
// Wherever it is dropped: else the browser would leave the page for the file.
addEventListener('dragover', event => {
    event.preventDefault();
    $('drawing').classList.add('dropping');
});
addEventListener('dragleave', event => event.relatedTarget || $('drawing').classList.remove('dropping'));
addEventListener('drop', event => {
    event.preventDefault();
    $('drawing').classList.remove('dropping');
    take(event.dataTransfer.files[0]);
});
addEventListener('paste', event => take(event.clipboardData.files[0]));

// ---- its class ---------------------------------------------------------------------------------------

let asked = false, changed = false; // an answer is on its way; the picture is another since

// What is on the pad: {width, height, pixels}, red, green, blue and alpha.
function look() {
    const {data: all, width, height} = ink.getImageData(...area);
    if (grain === 1) return {width, height, pixels: all};
    const few = {width: width / grain, height: height / grain}, pixels = new Uint8ClampedArray(4 * few.width * few.height);
    for (let i = 0; i < few.width * few.height; i++) {
        const at = (Math.floor(i / few.width) * width + i % few.width) * grain;
        pixels.set(all.subarray(4 * at, 4 * at + 4), 4 * i);
    }
    return {...few, pixels};
}

function classify() {
    $('hint').hidden = !isEmpty;
    if (state === 'loading') return;
    changed = asked;
    if (asked) return;
    if (isEmpty) return void blank();
    asked = true;
    const picture = look();
    worker.postMessage({type: 'classify', ...picture}, [picture.pixels.buffer]);
}

function bars(probabilities) {
    const best = probabilities ? largest(probabilities) : -1;
    [...$('bars').children].forEach((item, k) => {
        const [, bar, number] = item.children;
        item.className = k === best ? 'first' : '';
        bar.firstChild.style.width = probabilities ? `${100 * probabilities[k]}%` : '0';
        number.textContent = probabilities ? percent(probabilities[k]) : '–';
    });
    return best;
}

function blank() {
    bars();
    canvasOf(new Uint8Array(SIZE * SIZE), $('seen'));
    $('verdict').textContent = 'nothing yet: draw!';
}

function classified({probabilities, seen}) {
    asked = false;
    if (changed) classify();
    if (isEmpty) return;
    const best = bars(probabilities);
    canvasOf(seen, $('seen'));
    $('verdict').textContent = `${CLASSES[best]}, ${percent(probabilities[best])}` +
        (run.losses.length ? '' : ' (a guess: it is not trained)');
}

// ---- offline -----------------------------------------------------------------------------------------

async function keep() {
    if (!('serviceWorker' in navigator)) {
        $('offline').textContent = 'Not kept for offline use: this needs https or localhost';
        return;
    }
    try {
        const {installing} = await navigator.serviceWorker.register('sw.js'); // null: it was kept before
        if (installing) await new Promise((kept, refused) => installing.addEventListener('statechange', () =>
            installing.state === 'activated' ? kept() : installing.state === 'redundant' && refused()));
        $('offline').textContent = '✓ Works offline now';
        $('offline').classList.add('good');
    } catch (error) {
        $('offline').textContent = 'Not kept for offline use: a file is missing, or the browser refused';
    }
}

// ---- begin -------------------------------------------------------------------------------------------

$('bars').append(...CLASSES.map(name => make('li', {}, make('span', {textContent: name}),
    make('span', {className: 'bar'}, make('span')), make('span', {className: 'percent'}))));
clear();
blank();
new ResizeObserver(draw).observe($('curves'));
if (obstacle()) {
    complain(obstacle());
    enter('loading', 'The net cannot run here.');
    $('offline').hidden = true;
} else {
    worker = new Worker('worker.js');
    worker.onmessage = ({data: message}) => hears[message.type](message);
    worker.onerror = ({message}) => complain(message ? `The net stopped: ${message}.` :
        'worker.js cannot be loaded: is the server still there?');
    keep();
}
