"""The daily work of a user, with the unmodified official Python client.

Run: daily_work.py {rest|grpc} HTTP_PORT GRPC_PORT. Each check_* function makes
its own collection; any failed assertion ends the run with a non-zero status.
"""

import math
import random
import sys
import time
import uuid

from qdrant_client import QdrantClient, models as m
from qdrant_client.http.exceptions import UnexpectedResponse

DIM = 8
CITIES = ["Berlin", "London", "Moscow", "Rome"]


def vector(rng):
    return [rng.uniform(-1, 1) for _ in range(DIM)]


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(x * x for x in b))


def status_of(error):
    """The HTTP status, or the name of the gRPC code, of a client's error."""
    if isinstance(error, UnexpectedResponse):
        return error.status_code
    return error.code().name


def refused(call, rest_status, grpc_code):
    try:
        call()
    except Exception as error:  # the two transports raise unrelated types
        assert status_of(error) in (rest_status, grpc_code), error
        return str(error)
    raise AssertionError("the call was expected to be refused")


def fill(client, name, n=200, seed=1):
    """Creates a collection with a vector, a city, a number and tags per point."""
    rng = random.Random(seed)
    if client.collection_exists(name):
        client.delete_collection(name)
    client.create_collection(name, vectors_config=m.VectorParams(size=DIM, distance=m.Distance.COSINE))
    points = [
        m.PointStruct(
            id=i,
            vector=vector(rng),
            payload={"city": CITIES[i % 4], "n": i, "price": i / 2, "tags": [f"t{i % 3}", f"t{i % 5}"],
                     "nested": {"deep": [{"x": i % 7}, {"x": i % 2}]}},
        )
        for i in range(n)
    ]
    client.upsert(name, points, wait=True)
    return points


def check_collections(client):
    name = "py_collections"
    if client.collection_exists(name):
        client.delete_collection(name)
    assert client.create_collection(
        name,
        vectors_config={"text": m.VectorParams(size=4, distance=m.Distance.DOT),
                        "image": m.VectorParams(size=3, distance=m.Distance.EUCLID, on_disk=True)},
        sparse_vectors_config={"bow": m.SparseVectorParams(modifier=m.Modifier.IDF)},
        hnsw_config=m.HnswConfigDiff(m=24, ef_construct=128),
        quantization_config=m.ScalarQuantization(scalar=m.ScalarQuantizationConfig(type=m.ScalarType.INT8, quantile=0.99)),
    )
    info = client.get_collection(name)
    assert info.config.params.vectors["text"].size == 4
    assert info.config.params.vectors["image"].distance == m.Distance.EUCLID
    assert info.config.params.sparse_vectors["bow"].modifier == m.Modifier.IDF
    assert info.config.hnsw_config.m == 24
    assert info.config.quantization_config.scalar.quantile is not None
    assert info.points_count == 0
    assert info.status == m.CollectionStatus.GREEN
    assert name in [c.name for c in client.get_collections().collections]
    client.update_collection(name, optimizers_config=m.OptimizersConfigDiff(indexing_threshold=555))
    assert client.get_collection(name).config.optimizer_config.indexing_threshold == 555
    message = refused(lambda: client.create_collection(name, vectors_config=m.VectorParams(size=4, distance=m.Distance.DOT)),
                      409, "ALREADY_EXISTS")
    assert f"Collection `{name}` already exists!" in message, message
    client.update_collection_aliases([m.CreateAliasOperation(create_alias=m.CreateAlias(collection_name=name, alias_name="py_alias"))])
    assert client.get_collection("py_alias").config.hnsw_config.m == 24
    assert [a.alias_name for a in client.get_collection_aliases(name).aliases] == ["py_alias"]
    client.update_collection_aliases([m.DeleteAliasOperation(delete_alias=m.DeleteAlias(alias_name="py_alias"))])
    assert client.delete_collection(name)
    assert not client.collection_exists(name)
    refused(lambda: client.get_collection(name), 404, "NOT_FOUND")
    refused(lambda: client.create_collection("py_bad", vectors_config=m.VectorParams(size=0, distance=m.Distance.DOT)),
            422, "INVALID_ARGUMENT")


def check_search(client):
    name = "py_search"
    points = fill(client, name)
    rng = random.Random(7)
    for _ in range(10):
        query = vector(rng)
        want = sorted(points, key=lambda p: -cosine(query, p.vector))[:10]
        got = client.query_points(name, query, limit=10, with_payload=True, with_vectors=True).points
        assert [p.id for p in got] == [p.id for p in want]
        for hit, point in zip(got, want):
            assert abs(hit.score - cosine(query, point.vector)) < 1e-5
            assert hit.payload == point.payload, (hit.payload, point.payload)
            assert abs(cosine(hit.vector, point.vector) - 1) < 1e-5
    by_id = client.query_points(name, 17, limit=5).points
    assert 17 not in [p.id for p in by_id] and len(by_id) == 5
    above = client.query_points(name, points[3].vector, score_threshold=0.9, limit=100).points
    assert above and all(p.score > 0.9 for p in above)
    second = client.query_points(name, points[3].vector, limit=5, offset=5).points
    assert [p.id for p in second] == [p.id for p in client.query_points(name, points[3].vector, limit=10).points[5:]]
    batch = client.query_batch_points(name, [m.QueryRequest(query=points[0].vector, limit=1), m.QueryRequest(query=points[1].vector, limit=1)])
    assert [b.points[0].id for b in batch] == [0, 1]
    sampled = client.query_points(name, m.SampleQuery(sample=m.Sample.RANDOM), limit=20).points
    assert len({p.id for p in sampled}) == 20
    refused(lambda: client.query_points(name, [1.0, 2.0]), 400, "INVALID_ARGUMENT")
    refused(lambda: client.query_points("no_such", [1.0] * DIM), 404, "NOT_FOUND")


def check_filters(client):
    name = "py_filters"
    points = fill(client, name)
    must = lambda *c: m.Filter(must=list(c))  # noqa: E731
    field = m.FieldCondition
    cases = [
        (must(field(key="city", match=m.MatchValue(value="Rome"))), lambda p: p["city"] == "Rome"),
        (must(field(key="city", match=m.MatchAny(any=["Rome", "Berlin"]))), lambda p: p["city"] in ("Rome", "Berlin")),
        (must(field(key="city", match=m.MatchExcept(**{"except": ["Rome"]}))), lambda p: p["city"] != "Rome"),
        (must(field(key="n", range=m.Range(gte=10, lt=40))), lambda p: 10 <= p["n"] < 40),
        (must(field(key="price", range=m.Range(gt=50.5))), lambda p: p["price"] > 50.5),
        (must(field(key="tags", match=m.MatchValue(value="t4"))), lambda p: "t4" in p["tags"]),
        (must(field(key="tags", values_count=m.ValuesCount(gte=2))), lambda p: len(p["tags"]) >= 2),
        (m.Filter(must_not=[field(key="city", match=m.MatchValue(value="Rome"))]), lambda p: p["city"] != "Rome"),
        (m.Filter(should=[field(key="n", match=m.MatchValue(value=3)), field(key="city", match=m.MatchValue(value="London"))]),
         lambda p: p["n"] == 3 or p["city"] == "London"),
        (must(m.HasIdCondition(has_id=[5, 6, 7, 9999])), lambda p: p["n"] in (5, 6, 7)),
        (must(m.IsEmptyCondition(is_empty=m.PayloadField(key="nothing"))), lambda p: True),
        (must(m.NestedCondition(nested=m.Nested(key="nested.deep", filter=must(field(key="x", match=m.MatchValue(value=6)))))),
         lambda p: any(e["x"] == 6 for e in p["nested"]["deep"])),
        (m.Filter(min_should=m.MinShould(min_count=2, conditions=[
            field(key="city", match=m.MatchValue(value="Rome")),
            field(key="n", range=m.Range(lt=50)),
            field(key="tags", match=m.MatchValue(value="t0"))])),
         lambda p: (p["city"] == "Rome") + (p["n"] < 50) + ("t0" in p["tags"]) >= 2),
    ]

    def compare():
        for i, (condition, want) in enumerate(cases):
            expected = {p.id for p in points if want(p.payload)}
            got, _ = client.scroll(name, scroll_filter=condition, limit=1000)
            assert {p.id for p in got} == expected, (i, {p.id for p in got} ^ expected)
            assert client.count(name, count_filter=condition).count == len(expected), i
            hits = client.query_points(name, points[0].vector, query_filter=condition, limit=1000).points
            assert {p.id for p in hits} == expected, i

    compare()
    client.create_payload_index(name, "city", m.PayloadSchemaType.KEYWORD, wait=True)
    client.create_payload_index(name, "n", m.PayloadSchemaType.INTEGER, wait=True)
    client.create_payload_index(name, "price", m.PayloadSchemaType.FLOAT, wait=True)
    client.create_payload_index(name, "tags", m.KeywordIndexParams(type=m.KeywordIndexType.KEYWORD), wait=True)
    client.create_payload_index(name, "nested.deep[].x", m.PayloadSchemaType.INTEGER, wait=True)
    schema = client.get_collection(name).payload_schema
    assert schema["city"].data_type == m.PayloadSchemaType.KEYWORD
    assert schema["city"].points == len(points), schema["city"]
    compare()
    ordered, _ = client.scroll(name, order_by=m.OrderBy(key="n", direction=m.Direction.DESC), limit=5)
    assert [p.payload["n"] for p in ordered] == [199, 198, 197, 196, 195]
    ordered = client.query_points(name, m.OrderByQuery(order_by=m.OrderBy(key="n")), limit=3).points
    assert [p.id for p in ordered] == [0, 1, 2]
    client.delete_payload_index(name, "city", wait=True)
    assert "city" not in client.get_collection(name).payload_schema
    compare()


def check_points(client):
    name = "py_points"
    fill(client, name, n=20)
    key = str(uuid.uuid4())
    client.upsert(name, m.Batch(ids=[100, key], vectors=[[1.0] + [0.0] * 7, [0.0, 2.0] + [0.0] * 6], payloads=[{"a": 1}, {}]), wait=True)
    got = {p.id: p for p in client.retrieve(name, [100, key, 12345], with_vectors=True)}
    assert set(got) == {100, key} and got[100].payload == {"a": 1} and not got[key].payload
    assert got[key].vector == [0.0, 1.0] + [0.0] * 6
    client.set_payload(name, {"b": 2, "big": 2**60}, points=[100], wait=True)
    assert client.retrieve(name, [100])[0].payload == {"a": 1, "b": 2, "big": 2**60}
    client.set_payload(name, {"c": 3}, points=[100], key="obj.inner", wait=True)
    assert client.retrieve(name, [100])[0].payload["obj"] == {"inner": {"c": 3}}
    client.delete_payload(name, ["a", "obj"], points=[100], wait=True)
    assert client.retrieve(name, [100])[0].payload == {"b": 2, "big": 2**60}
    client.overwrite_payload(name, {"only": [1, None, {"x": "y"}]}, points=[100], wait=True)
    assert client.retrieve(name, [100])[0].payload == {"only": [1, None, {"x": "y"}]}
    client.clear_payload(name, points_selector=[100], wait=True)
    assert not client.retrieve(name, [100])[0].payload
    client.update_vectors(name, [m.PointVectors(id=100, vector=[0.0] * 7 + [3.0])], wait=True)
    assert client.retrieve(name, [100], with_vectors=True)[0].vector[7] == 1.0
    client.batch_update_points(name, [
        m.UpsertOperation(upsert=m.PointsList(points=[m.PointStruct(id=500, vector=[1.0] * 8, payload={"z": 1})])),
        m.SetPayloadOperation(set_payload=m.SetPayload(payload={"y": 2}, points=[500])),
        m.DeleteOperation(delete=m.PointIdsList(points=[100])),
    ], wait=True)
    assert client.retrieve(name, [500])[0].payload == {"z": 1, "y": 2}
    assert client.retrieve(name, [100]) == []
    client.delete(name, m.FilterSelector(filter=m.Filter(must=[m.FieldCondition(key="city", match=m.MatchValue(value="Rome"))])), wait=True)
    assert client.count(name).count == 20 - 5 + 2
    ids, offset = [], None
    while True:
        page, offset = client.scroll(name, limit=4, offset=offset)
        ids += [p.id for p in page]
        if offset is None:
            break
    assert ids == sorted([i for i in range(20) if i % 4 != 3]) + [500, key], ids
    chosen = client.retrieve(name, [0], with_payload=["city", "nested.deep[].x"])[0].payload
    assert chosen == {"city": "Berlin", "nested": {"deep": [{"x": 0}, {"x": 0}]}}, chosen
    refused(lambda: client.upsert(name, [m.PointStruct(id=1, vector=[1.0])], wait=True), 400, "INVALID_ARGUMENT")
    refused(lambda: client.set_payload(name, {"x": 1}, points=[77777], wait=True), 404, "NOT_FOUND")


def check_named_and_sparse(client):
    name = "py_named"
    if client.collection_exists(name):
        client.delete_collection(name)
    client.create_collection(
        name,
        vectors_config={"a": m.VectorParams(size=3, distance=m.Distance.EUCLID), "b": m.VectorParams(size=2, distance=m.Distance.MANHATTAN)},
        sparse_vectors_config={"s": m.SparseVectorParams(), "bm25": m.SparseVectorParams(modifier=m.Modifier.IDF)},
    )
    texts = ["the quick brown fox", "jumps over the lazy dog", "a quick reaction of the system", "databases store vectors"]
    client.upsert(name, [
        m.PointStruct(id=i, vector={
            "a": [float(i), 0.0, 0.0], "s": m.SparseVector(indices=[1, 10 + i], values=[0.5, float(i + 1)]),
            "bm25": m.Document(text=text, model="qdrant/bm25")}, payload={"text": text})
        for i, text in enumerate(texts)
    ] + [m.PointStruct(id=10, vector={"b": [1.0, 1.0]}), m.PointStruct(id=11, vector={})], wait=True)
    hits = client.query_points(name, [3.0, 4.0, 0.0], using="a", limit=10).points
    assert [h.id for h in hits] == [3, 2, 1, 0] and abs(hits[0].score - 4.0) < 1e-5, hits
    hits = client.query_points(name, [0.0, 0.0], using="b").points
    assert [h.id for h in hits] == [10] and abs(hits[0].score - 2.0) < 1e-6
    hits = client.query_points(name, m.SparseVector(indices=[13, 1], values=[1.0, 1.0]), using="s").points
    assert hits[0].id == 3 and abs(hits[0].score - 4.5) < 1e-6 and len(hits) == 4
    hits = client.query_points(name, m.Document(text="quick foxes", model="Qdrant/bm25"), using="bm25").points
    assert [h.id for h in hits][0] == 0 and {h.id for h in hits} == {0, 2}, hits
    both = client.query_points(name, prefetch=[
        m.Prefetch(query=[0.0, 0.0, 0.0], using="a", limit=4),
        m.Prefetch(query=m.Document(text="databases", model="qdrant/bm25"), using="bm25", limit=4),
    ], query=m.FusionQuery(fusion=m.Fusion.RRF)).points
    assert both[0].id == 3 or both[0].id == 0, both
    dbsf = client.query_points(name, prefetch=[
        m.Prefetch(query=[0.0, 0.0, 0.0], using="a", limit=4),
        m.Prefetch(query=m.SparseVector(indices=[1], values=[1.0]), using="s", limit=4),
    ], query=m.FusionQuery(fusion=m.Fusion.DBSF)).points
    assert len(dbsf) == 4
    rescored = client.query_points(name, prefetch=m.Prefetch(query=m.SparseVector(indices=[1], values=[1.0]), using="s", limit=4),
                                   query=[3.0, 0.0, 0.0], using="a", limit=2).points
    assert [h.id for h in rescored] == [3, 2], rescored
    got = client.retrieve(name, [0], with_vectors=["s"])[0]
    assert set(got.vector) == {"s"} and got.vector["s"].indices == [1, 10]
    client.delete_vectors(name, ["a"], points=[0], wait=True)
    assert "a" not in client.retrieve(name, [0], with_vectors=True)[0].vector
    assert client.retrieve(name, [11], with_vectors=True)[0].vector == {}


def check_typed_fields(client):
    """Places, dates, texts, UUIDs and flags, first without their indexes, then with."""
    name = "py_typed"
    if client.collection_exists(name):
        client.delete_collection(name)
    client.create_collection(name, vectors_config={"v": m.VectorParams(size=2, distance=m.Distance.DOT)})
    keys = [str(uuid.uuid4()) for _ in range(4)]
    payloads = [
        {"at": {"lon": 13.4, "lat": 52.5}, "day": "2024-01-01T00:00:00Z", "key": keys[0], "ok": True, "text": "The quick brown fox", "n": None},
        {"at": [{"lon": 179.9, "lat": 0.0}, {"lon": 0.0, "lat": 0.0}], "day": "2024-02-01 12:30", "key": keys[1], "ok": False, "text": "a lazy dog", "n": []},
        {"day": ["2023-06-01", "2025-06-01T10:00:00+02:00"], "key": keys[2], "ok": [True, False], "text": "quick dogs running", "n": 1},
        {"at": {"lon": 2.35, "lat": 48.85}, "day": "never", "key": keys[3], "text": 7},
    ]
    client.upsert(name, [m.PointStruct(id=i, vector={"v": [float(i), 1.0]} if i != 1 else {}, payload=p) for i, p in enumerate(payloads)], wait=True)
    field = m.FieldCondition
    box = lambda left, top, right, bottom: m.GeoBoundingBox(  # noqa: E731
        top_left=m.GeoPoint(lon=left, lat=top), bottom_right=m.GeoPoint(lon=right, lat=bottom))
    cases = [
        (field(key="at", geo_bounding_box=box(13.0, 53.0, 14.0, 52.0)), {0}),
        (field(key="at", geo_bounding_box=box(179.0, 1.0, -179.0, -1.0)), {1}),  # over the date line
        (field(key="at", geo_radius=m.GeoRadius(center=m.GeoPoint(lon=13.4, lat=52.5), radius=900_000)), {0, 3}),
        (field(key="day", range=m.DatetimeRange(gte="2024-01-01T00:00:00Z", lt="2024-02-01T12:30:00Z")), {0}),
        (field(key="day", range=m.DatetimeRange(gt="2024-02-01T12:29:59Z")), {1, 2}),
        (field(key="key", match=m.MatchValue(value=keys[2])), {2}),
        (field(key="ok", match=m.MatchValue(value=True)), {0, 2}),
        (field(key="ok", match=m.MatchValue(value=False)), {1, 2}),
        (field(key="text", match=m.MatchText(text="quick")), {0, 2}),
        (field(key="text", match=m.MatchTextAny(text_any="lazy fox")), {0, 1}),
        (field(key="text", match=m.MatchPhrase(phrase="quick brown")), {0}),
        (field(key="n", is_null=True), {0}),
        (field(key="n", is_empty=True), {0, 1, 3}),
        (field(key="at", values_count=m.ValuesCount(gt=1)), {1}),
        (field(key="key", match=m.MatchExcept(**{"except": keys[:2]})), {2, 3}),
        (m.HasVectorCondition(has_vector="v"), {0, 2, 3}),
        (m.IsNullCondition(is_null=m.PayloadField(key="n")), {0}),
    ]

    def compare():
        for i, (condition, want) in enumerate(cases):
            got, _ = client.scroll(name, scroll_filter=m.Filter(must=[condition]))
            assert {p.id for p in got} == want, (i, [p.id for p in got])
            assert client.count(name, count_filter=m.Filter(must_not=[condition])).count == 4 - len(want), i

    compare()
    for key, kind in [("at", "geo"), ("day", "datetime"), ("key", "uuid"), ("ok", "bool"), ("n", "integer")]:
        client.create_payload_index(name, key, kind, wait=True)
    client.create_payload_index(name, "text", m.TextIndexParams(
        type=m.TextIndexType.TEXT, tokenizer=m.TokenizerType.WORD, lowercase=True, phrase_matching=True), wait=True)
    compare()
    points = {key: info.points for key, info in client.get_collection(name).payload_schema.items()}
    assert points == {"at": 3, "day": 3, "key": 4, "ok": 3, "text": 3, "n": 1}, points
    ordered, _ = client.scroll(name, order_by=m.OrderBy(key="day", direction=m.Direction.DESC))
    assert [p.id for p in ordered] == [2, 1, 0, 2], ordered
    client.create_payload_index(name, "text", m.TextIndexParams(
        type=m.TextIndexType.TEXT, stemmer=m.SnowballParams(type=m.Snowball.SNOWBALL, language=m.SnowballLanguage.ENGLISH),
        stopwords=m.Language.ENGLISH), wait=True)
    stemmed = m.Filter(must=[field(key="text", match=m.MatchText(text="the dog run"))])
    assert [p.id for p in client.scroll(name, scroll_filter=stemmed)[0]] == [2]


def check_refusals(client):
    """What can't be done is said, and leaves nothing behind."""
    name = "py_refused"
    fill(client, name, n=10)
    refused(lambda: client.create_payload_index(name, "city", m.TextIndexParams(
        type=m.TextIndexType.TEXT, min_token_len=9, max_token_len=2), wait=True), 400, "INVALID_ARGUMENT")
    refused(lambda: client.create_payload_index(name, "city", m.TextIndexParams(
        type=m.TextIndexType.TEXT, stemmer=m.SnowballParams(type=m.Snowball.SNOWBALL, language=m.SnowballLanguage.GREEK)), wait=True),
        501, "UNIMPLEMENTED")
    assert client.get_collection(name).payload_schema == {}
    vectors = m.VectorParams(size=2, distance=m.Distance.DOT)
    refused(lambda: client.create_collection("py_wide", vectors_config=vectors, shard_number=4_000_000_000), 422, "INVALID_ARGUMENT")
    refused(lambda: client.create_collection("py_product", vectors_config=vectors, quantization_config=m.ProductQuantization(
        product=m.ProductQuantizationConfig(compression=m.CompressionRatio.X16))), 501, "UNIMPLEMENTED")
    refused(lambda: client.query_points(name, m.RecommendQuery(recommend=m.RecommendInput(positive=[1]))), 501, "UNIMPLEMENTED")
    refused(lambda: client.query_points_groups(name, group_by="city", query=[1.0] * DIM), 501, "UNIMPLEMENTED")
    refused(lambda: client.create_snapshot(name), 501, "UNIMPLEMENTED")
    client.update_collection_aliases([m.CreateAliasOperation(create_alias=m.CreateAlias(collection_name=name, alias_name="py_other"))])
    assert client.delete_collection("py_other") is False
    assert client.count(name).count == 10
    assert client.delete_collection(name)
    refused(lambda: client.count("py_other"), 404, "NOT_FOUND")


def check_reindexing(client):
    """Changes of the configuration are applied to points that are there."""
    name = "py_reindexed"
    points = fill(client, name, n=3000)
    queries = [p.vector for p in points[:20]]

    def settled():
        for _ in range(600):
            info = client.get_collection(name)
            if info.status == m.CollectionStatus.GREEN:
                return info
            time.sleep(0.05)
        raise AssertionError(f"still {info.status}")

    changes = [
        {"optimizers_config": m.OptimizersConfigDiff(indexing_threshold=10)},
        {"hnsw_config": m.HnswConfigDiff(m=8, ef_construct=32)},
        {"quantization_config": m.ScalarQuantization(scalar=m.ScalarQuantizationConfig(type=m.ScalarType.INT8, always_ram=True))},
        {"quantization_config": m.BinaryQuantization(binary=m.BinaryQuantizationConfig(always_ram=False))},
        {"quantization_config": m.Disabled.DISABLED},
        {"vectors_config": {"": m.VectorParamsDiff(on_disk=True)}},
    ]
    for change in changes:
        assert client.update_collection(name, **change)
        info = settled()
        assert info.indexed_vectors_count == 3000, (change, info)
        for i, query in enumerate(queries):
            assert client.query_points(name, query, limit=1).points[0].id == i, change
    assert info.config.hnsw_config.m == 8 and info.config.quantization_config is None
    client.update_collection(name, hnsw_config=m.HnswConfigDiff(m=0))
    assert settled().indexed_vectors_count == 0
    assert client.query_points(name, queries[3], limit=1).points[0].id == 3


CHECKS = [check_collections, check_search, check_filters, check_points, check_named_and_sparse, check_typed_fields,
          check_refusals, check_reindexing]


def main():
    transport, http_port, grpc_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    client = QdrantClient(host="127.0.0.1", port=http_port, grpc_port=grpc_port, prefer_grpc=transport == "grpc",
                          timeout=30, check_compatibility=True)
    for check in CHECKS:
        check(client)
        print(f"{transport} {check.__name__}: ok")
    client.close()


if __name__ == "__main__":
    main()
