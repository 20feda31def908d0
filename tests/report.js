#!/usr/bin/env node
// report.js - a page of tools/report in Chromium without a window: nothing complains, nothing but its
// tables scrolls sideways, on a telephone, a desk, white and dark grounds, and everything that is
// folded can be read.
//
//     tests/report.js PAGE [DIRECTORY]      screenshots into DIRECTORY, if it is given
//
// report.sh makes the page and calls this.
'use strict';
const fs = require('fs'), os = require('os'), path = require('path');
const browser = require('./browser.js');

const PHONE = {width: 375, height: 812, deviceScaleFactor: 2, mobile: true};
const DESK = {width: 1280, height: 800, deviceScaleFactor: 1, mobile: false};

let failures = 0;
function check(what, holds, found = '') {
    if (holds) return;
    failures++;
    console.log(`failed: ${what} ${found}`);
}

// Texts of less contrast with the ground than 4.5 to 1 (WCAG 2, level AA).
const FAINT = `const channel = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const light = css => { const [r, g, b] = css.match(/[0-9.]+/g).map(Number);
        return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b); };
    const ground = light(getComputedStyle(document.body).backgroundColor);
    return [...document.querySelectorAll('h1,h2,h3,p,a,td,th,caption,figcaption,summary,code,.unit text')].filter(e => {
        const style = getComputedStyle(e), ink = light(e.closest('.unit') ? style.fill : style.color);
        return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05) < 4.5;
    }).map(e => e.outerHTML.slice(0, 80));`;

// Elements that reach over the page's sides without a box that scrolls around them.
const OVER = `return [...document.body.querySelectorAll('*')].filter(e => !e.closest('.scroll') && !e.closest('svg svg, svg *') &&
    e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80));`;

async function all(address, directory) {
    await browser.openBrowser(path.join(directory, 'profile'));
    for (const [name, size] of [['phone', PHONE], ['desk', DESK]])
        for (const colours of [browser.LIGHT, browser.DARK]) {
            await browser.view(size, colours);
            await browser.order('url', {url: address});
            for (const state of ['folded', 'open']) {
                const where = `${name}, ${colours}, ${state}`, width = await browser.scrollWidth();
                check(`${where}: no scrolling sideways`, width <= size.width, `${width} > ${size.width}`);
                const over = await browser.script(OVER), faint = await browser.script(FAINT);
                check(`${where}: nothing reaches over the side`, !over.length, over.join('\n'));
                check(`${where}: words can be read`, !faint.length, faint.join('\n'));
                await browser.picture(process.argv[3], `report-${name}-${colours}-${state}`);
                await browser.script('document.querySelectorAll("details").forEach(d => d.open = true)');
            }
        }
    const figures = await browser.script('return document.querySelectorAll("figure svg").length');
    check('its pictures are there', figures > 8, `${figures}`);
    const lines = await browser.complaints();
    check('no errors and no warnings', !lines.length, lines.join(''));
}

async function main() {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'report-'));
    try {
        await all(`file://${path.resolve(process.argv[2])}`, directory);
    } catch (error) {
        check('it ran to its end:', false, `${error.message} ${error.cause || ''}`);
    }
    await browser.closeBrowser();
    fs.rmSync(directory, {recursive: true, force: true, maxRetries: 10, retryDelay: 100});
    process.exitCode = failures ? 1 : 0;
}
main();
