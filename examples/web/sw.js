// sw.js - the service worker: keeps the page's files, so that it works without a network once it was
// loaded. With a network the newest files are taken, and kept.
'use strict';

const NAME = `resnet.h ${registration.scope}`;
const FILES = ['./', 'style.css', 'page.js', 'worker.js', 'resnet.wasm', 'data/train-images-idx3-ubyte',
    'data/train-labels-idx1-ubyte', 'data/t10k-images-idx3-ubyte', 'data/t10k-labels-idx1-ubyte'];

addEventListener('install', event => event.waitUntil((async () => {
    const cache = await caches.open(NAME);
    await cache.addAll(FILES.map(file => new Request(file, {cache: 'no-cache'})));
    await skipWaiting();
})()));

addEventListener('activate', event => event.waitUntil(clients.claim()));

async function answer(request) {
    const cache = await caches.open(NAME);
    try {
        const response = await fetch(request, {cache: 'no-cache'});
        if (response.ok) await cache.put(request, response.clone());
        return response;
    } catch (error) {
        const page = request.mode === 'navigate' ? './' : request;
        return await cache.match(page, {ignoreSearch: true}) || Response.error();
    }
}

addEventListener('fetch', event => {
    if (event.request.method === 'GET') event.respondWith(answer(event.request));
});
