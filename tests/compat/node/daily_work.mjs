// The daily work of a user, with the unmodified official JavaScript client.
// Run: node daily_work.mjs HTTP_PORT. A failed assertion ends the run.
import assert from "node:assert/strict";
import {QdrantClient} from "@qdrant/js-client-rest";

const client = new QdrantClient({host: "127.0.0.1", port: Number(process.argv[2]), checkCompatibility: false});
const name = "js_daily";

if ((await client.collectionExists(name)).exists) await client.deleteCollection(name);
assert.equal(await client.createCollection(name, {vectors: {size: 4, distance: "Dot"}}), true);
assert.ok((await client.getCollections()).collections.some((c) => c.name === name));

const points = [
    {id: 1, vector: [0.05, 0.61, 0.76, 0.74], payload: {city: "Berlin", n: 1}},
    {id: 2, vector: [0.19, 0.81, 0.75, 0.11], payload: {city: "London", n: 2}},
    {id: 3, vector: [0.36, 0.55, 0.47, 0.94], payload: {city: ["Berlin", "Moscow"], n: 3}},
    {id: "6cbb9d8a-4f7a-4d6a-9f0e-2a3f0d5a7b11", vector: [0.18, 0.01, 0.85, 0.8], payload: {price: 4.5}},
];
assert.equal((await client.upsert(name, {wait: true, points})).status, "completed");

const info = await client.getCollection(name);
assert.equal(info.points_count, 4);
assert.equal(info.config.params.vectors.size, 4);

const dot = (a, b) => a.reduce((s, x, i) => s + x * b[i], 0);
const query = [0.2, 0.1, 0.9, 0.7];
const want = [...points].sort((a, b) => dot(query, b.vector) - dot(query, a.vector)).map((p) => p.id);
const found = await client.query(name, {query, limit: 4, with_payload: true, with_vector: true});
assert.deepEqual(found.points.map((p) => p.id), want);
assert.deepEqual(found.points.find((p) => p.id === 1).vector, points[0].vector);

await client.createPayloadIndex(name, {field_name: "city", field_schema: "keyword", wait: true});
const filter = {must: [{key: "city", match: {value: "Berlin"}}]};
assert.deepEqual((await client.query(name, {query, filter})).points.map((p) => p.id).sort(), [1, 3]);
assert.equal((await client.count(name, {filter, exact: true})).count, 2);
assert.deepEqual((await client.scroll(name, {filter, limit: 1})).points.map((p) => p.id), [1]);
assert.deepEqual((await client.retrieve(name, {ids: [3]}))[0].payload, points[2].payload);

await client.setPayload(name, {payload: {seen: true}, points: [1], wait: true});
assert.deepEqual((await client.retrieve(name, {ids: [1]}))[0].payload, {city: "Berlin", n: 1, seen: true});
await client.delete(name, {points: [2], wait: true});
assert.equal((await client.count(name)).count, 3);
await assert.rejects(client.query(name, {query: [1]}), (e) => e.status === 400);
await assert.rejects(client.getCollection("js_missing"), (e) => e.status === 404);
assert.equal(await client.deleteCollection(name), true);
console.log("js daily work: ok");
