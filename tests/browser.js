// browser.js - Chromium without a window, for tests of pages. It speaks to it through chromedriver
// (WebDriver), which is plain HTTP, so nothing has to be installed for Node.
'use strict';
const fs = require('fs'), path = require('path');
const {spawn} = require('child_process');

const LIGHT = 'light', DARK = 'dark';

let driver, session;

function startDriver() {
    driver = spawn(process.env.CHROMEDRIVER || 'chromedriver', ['--port=0'], {stdio: ['ignore', 'pipe', 'inherit']});
    return new Promise((resolve, reject) => {
        let text = '';
        driver.on('error', reject);
        driver.on('exit', code => reject(new Error(`chromedriver ended with ${code}`)));
        driver.stdout.on('data', data => {
            const found = /successfully on port (\d+)/.exec(text += data);
            if (found) resolve(`http://127.0.0.1:${found[1]}/session`);
        });
    });
}

async function call(url, body) {
    const response = await fetch(url, body && {method: 'POST', body: JSON.stringify(body)});
    const {value} = await response.json();
    if (!response.ok) throw new Error(`${url}: ${value.message}`);
    return value;
}

const order = (what, body = {}) => call(`${session}/${what}`, body);
const script = (text, ...args) => order('execute/sync', {script: text, args});
const devtools = (cmd, params = {}) => order('goog/cdp/execute', {cmd, params});
const element = async css => Object.values(await order('element', {using: 'css selector', value: css}))[0];
const press = async css => order(`element/${await element(css)}/click`);

async function openBrowser(profile) {
    const sessions = await startDriver();
    const args = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
        '--disable-background-networking', '--disable-component-update', '--disable-sync',
        '--disable-dev-shm-usage', '--hide-scrollbars', `--user-data-dir=${profile}`];
    const binary = process.env.CHROMIUM ? {binary: process.env.CHROMIUM} : {};
    const made = await call(sessions, {capabilities: {alwaysMatch: {
        'goog:chromeOptions': {args, ...binary}, 'goog:loggingPrefs': {browser: 'ALL'}}}});
    session = `${sessions}/${made.sessionId}`;
}

async function closeBrowser() {
    if (session) await fetch(session, {method: 'DELETE'}).catch(() => {});
    if (driver) driver.kill();
}

// A size and the colours that the reader prefers.
async function view(size, colours) {
    await devtools('Emulation.setDeviceMetricsOverride', size);
    await devtools('Emulation.setEmulatedMedia', {features: [{name: 'prefers-color-scheme', value: colours}]});
}

// A screenshot into a directory, if there is one.
async function picture(directory, name) {
    if (!directory) return;
    await script('return new Promise(requestAnimationFrame)');
    const {data} = await devtools('Page.captureScreenshot', {captureBeyondViewport: true});
    fs.writeFileSync(path.join(directory, `${name}.png`), Buffer.from(data, 'base64'));
}

const scrollWidth = () => script('return document.documentElement.scrollWidth');

// What the browser complained about since the last call, a line each.
async function complaints() {
    const lines = await order('se/log', {type: 'browser'});
    return lines.filter(line => line.level !== 'INFO' && line.level !== 'DEBUG').map(line => `\n    ${line.level} ${line.message}`);
}

module.exports = {LIGHT, DARK, openBrowser, closeBrowser, order, script, devtools, element, press, view, picture, scrollWidth, complaints};
