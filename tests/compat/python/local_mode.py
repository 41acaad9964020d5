"""The same random requests to a node and to the local mode of the official Python client.

The local mode (QdrantClient(":memory:")) is Qdrant's own small implementation of its
API, so it says what a request means without a server. Each seed makes a collection in
both, and then reads and changes both step by step; after each change everything that
they hold is compared.

Run: local_mode.py {rest|grpc} HTTP_PORT GRPC_PORT FIRST_SEED SEEDS STEPS. The first
disagreement is printed and ends the run with status 1. A seed always draws the same
requests: the seed of a disagreement for FIRST_SEED, 1 for SEEDS and at least its step
for STEPS come to it again.

Seeds that are odd run without payload indexes, but for those that order_by needs; even
ones have an index on every field.
"""

import enum
import json
import random
import sys
import uuid
import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import grpc
from pydantic import BaseModel, ValidationError
from qdrant_client import QdrantClient, models as m
from qdrant_client.http.exceptions import UnexpectedResponse

COLLECTION = "local_mode"
POINTS_AT_FIRST = 60
TOLERANCE = 2e-3

DENSE = {"text": (8, m.Distance.COSINE), "image": (12, m.Distance.DOT),
         "code": (6, m.Distance.EUCLID), "grid": (5, m.Distance.MANHATTAN)}
SPARSE = {"words": None, "rare": m.Modifier.IDF}
VECTORS = [*DENSE, *SPARSE]

ORDERED = {"num": "integer", "flt": "float", "dt": "datetime", "arr": "integer"}
INDEXED = {"kw": "keyword", "b": "bool", "uid": "uuid", "geo": "geo", "nested.n": "integer", "nested.arr[].x": "integer",
           "city.name": "keyword", "city.geo": "geo", "maybe": "keyword", "text": "text"}

NUMBER_KEYS = ["num", "flt", "arr", "nested.n", "nested.arr[].x", "nested[].n", "missing", "kw"]
WORD_KEYS = ["kw", "city.name", "nested[].k", "nested.arr[].y", "uid", "maybe", "missing", "num"]
SHAPE_KEYS = ["num", "kw", "arr", "maybe", "nested", "nested.arr", "nested.n", "nested[].n", "city", "city.name", "geo", "text", "missing"]
GEO_KEYS = ["geo", "city.geo", "kw"]

KEYWORDS = ["red", "green", "blue", "Red", "", "grün"]
WORDS = ["apple", "banana", "cherry", "dog", "elephant"]
UIDS = [str(uuid.UUID(int=i * 7919 + 5)) for i in range(6)]
EXACT = m.SearchParams(exact=True)


@dataclass
class Request:
    """A method of the client and its arguments, besides the collection."""

    method: str
    arguments: dict

    def send(self, client):
        return getattr(client, self.method)(COLLECTION, **self.arguments)

    def __str__(self):
        return f"{self.method}({', '.join(f'{k}={shown(v)}' for k, v in self.arguments.items())})"


def shown(value):
    """The value as Python that makes it, without the many fields that aren't set."""
    if isinstance(value, BaseModel):
        fields = {info.alias or name: getattr(value, name) for name, info in type(value).model_fields.items()}
        given = [f"**{{'except': {shown(v)}}}" if k == "except" else f"{k}={shown(v)}" for k, v in fields.items() if v is not None]
        return f"m.{type(value).__name__}({', '.join(given)})"
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k!r}: {shown(v)}' for k, v in value.items())}}}"
    return f"m.{type(value).__name__}.{value.name}" if isinstance(value, enum.Enum) else repr(value)


class Draw:
    """Draws requests. What it avoids is what the two answer differently for a reason, which is named there."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.indexed = seed % 2 == 0
        self.present = []  # IDs that the collection holds, kept up to date by whoever sends the requests

    def chance(self, probability):
        return self.rng.random() < probability

    def some(self, draw, least, most):
        return [draw() for _ in range(self.rng.randint(least, most))]

    def sample(self, values, least, most):
        return self.rng.sample(values, min(len(values), self.rng.randint(least, most)))

    # What points are made of.

    def id(self):
        return self.rng.choice([self.rng.randint(0, 60), str(uuid.UUID(int=self.rng.randint(1, 30) << 64))])

    def dense(self, name):
        return [round(self.rng.gauss(0, 1), 4) for _ in range(DENSE[name][0])]

    def sparse(self):
        indices = self.sample(range(30), 1, 6)
        # With so many digits there are no ties, which would be free to decide what a prefetch leaves out.
        return m.SparseVector(indices=indices, values=[round(self.rng.uniform(0.1, 2), 6) for _ in indices])

    def vector(self, name):
        return self.dense(name) if name in DENSE else self.sparse()

    def vectors(self):
        return {name: self.vector(name) for name in VECTORS if self.chance(0.85)}

    def geo(self):
        return {"lon": round(self.rng.uniform(-180, 180), 3), "lat": round(self.rng.uniform(-85, 85), 3)}

    def time(self):
        return (datetime(2020, 1, 1, tzinfo=timezone.utc) + timedelta(hours=self.rng.randint(0, 20000))).isoformat()

    def keyword(self):
        return self.rng.choice(KEYWORDS)

    def number(self, least, most):
        return lambda: self.rng.randint(least, most)

    def payload(self):
        choice, some, small = self.rng.choice, self.some, self.number(0, 5)
        fields = {
            "num": lambda: choice([self.rng.randint(-5, 20), some(self.number(-5, 20), 0, 3)]),
            "flt": lambda: choice([round(self.rng.uniform(-3, 3), 2), self.rng.randint(-3, 3)]),
            "kw": lambda: choice([self.keyword(), some(self.keyword, 0, 3)]),
            "b": lambda: self.chance(0.5),
            "dt": self.time,
            "uid": lambda: choice(UIDS),
            "geo": lambda: choice([self.geo(), [self.geo(), self.geo()]]),
            "arr": lambda: some(self.number(0, 9), 0, 4),
            "maybe": lambda: choice([None, "x", [], [None], ["y", None], {}]),
            "nested": lambda: choice([{"n": small()},
                                      {"arr": some(lambda: {"x": small(), "y": self.keyword()}, 0, 3)},
                                      some(lambda: {"n": small(), "k": self.keyword()}, 0, 3)]),
            "city": lambda: {"name": self.keyword(), "geo": self.geo()},
            "text": lambda: " ".join(some(lambda: choice(WORDS), 1, 4)),
        }
        return {key: field() for key, field in fields.items() if self.chance(0.8)}

    def payload_to_set(self):
        # A node removes a key that is set to null, the local mode keeps the null.
        return {key: value for key, value in self.payload().items() if value is not None}

    def point(self):
        return m.PointStruct(id=self.id(), vector=self.vectors(), payload=self.payload())

    # Filters.

    def filter(self, depth=0):
        clauses = {clause: self.some(lambda: self.condition(depth), 1, 3)
                   for clause in ("must", "should", "must_not") if self.chance(0.45)}
        if self.chance(0.15):
            # A min_count of 0 is refused by both.
            clauses["min_should"] = m.MinShould(conditions=self.some(lambda: self.condition(depth), 1, 3),
                                                min_count=self.rng.randint(1, 3))
        return m.Filter(**clauses or {"must": [self.condition(depth)]})

    def condition(self, depth):
        kinds = [self.match_word, self.match_number, self.match_bool, self.range, self.datetime_range, self.geo_radius,
                 self.geo_box, self.geo_polygon, self.values_count, self.is_empty, self.is_null, self.has_id, self.has_vector,
                 self.slice]
        # A text index may split values into other words than the local mode, which knows no indexes, does.
        if not self.indexed:
            kinds.append(self.match_text)
        if depth < 2:
            kinds += [self.nested, lambda: self.filter(depth + 1)]
        return self.rng.choice(kinds)()

    def match(self, key, value):
        """The value, any of some or none of some."""
        match = self.rng.choice([lambda: m.MatchValue(value=value()),
                                 lambda: m.MatchAny(any=self.some(value, 0, 3)),
                                 lambda: m.MatchExcept(**{"except": self.some(value, 0, 3)})])()
        return m.FieldCondition(key=key, match=match)

    def match_word(self):
        return self.match(self.rng.choice(WORD_KEYS), lambda: self.rng.choice(KEYWORDS + UIDS))

    def match_number(self):
        return self.match(self.rng.choice(NUMBER_KEYS), self.number(-3, 12))

    def match_bool(self):
        return m.FieldCondition(key=self.rng.choice(["b", "maybe", "num"]), match=m.MatchValue(value=self.chance(0.5)))

    def match_text(self):
        words = " ".join(self.some(lambda: self.rng.choice([*WORDS, "Dog", "an", "x"]), 1, 2))
        match = self.rng.choice([m.MatchText(text=words), m.MatchTextAny(text_any=words), m.MatchPhrase(phrase=words)])
        return m.FieldCondition(key=self.rng.choice(["text", "text", "kw", "num"]), match=match)

    def bounds(self, value):
        return {bound: value() for bound in self.sample(["gt", "gte", "lt", "lte"], 1, 2)}

    def range(self):
        def value():
            return self.rng.choice([self.rng.randint(-4, 15), round(self.rng.uniform(-3, 10), 1)])

        return m.FieldCondition(key=self.rng.choice(NUMBER_KEYS), range=m.Range(**self.bounds(value)))

    def datetime_range(self):
        return m.FieldCondition(key=self.rng.choice(["dt", "dt", "kw"]), range=m.DatetimeRange(**self.bounds(self.time)))

    def geo_radius(self):
        return m.FieldCondition(key=self.rng.choice(GEO_KEYS),
                                geo_radius=m.GeoRadius(center=m.GeoPoint(**self.geo()), radius=self.rng.uniform(1e5, 1e7)))

    def geo_box(self):
        (left, right), (bottom, top) = map(sorted, zip(self.geo().values(), self.geo().values()))
        box = m.GeoBoundingBox(top_left=m.GeoPoint(lon=left, lat=top), bottom_right=m.GeoPoint(lon=right, lat=bottom))
        return m.FieldCondition(key=self.rng.choice(GEO_KEYS), geo_bounding_box=box)

    def geo_polygon(self):
        corner, width, height = self.geo(), self.rng.uniform(5, 60), self.rng.uniform(5, 60)
        lon, lat = corner["lon"], corner["lat"]
        ring = [m.GeoPoint(lon=min(180, x), lat=min(90, y))
                for x, y in [(lon, lat), (lon + width, lat), (lon + width / 2, lat + height), (lon, lat)]]
        return m.FieldCondition(key=self.rng.choice(GEO_KEYS), geo_polygon=m.GeoPolygon(exterior=m.GeoLineString(points=ring)))

    def values_count(self):
        return m.FieldCondition(key=self.rng.choice(SHAPE_KEYS), values_count=m.ValuesCount(**self.bounds(self.number(0, 4))))

    def is_empty(self):
        key = self.rng.choice(SHAPE_KEYS)
        return self.rng.choice([m.IsEmptyCondition(is_empty=m.PayloadField(key=key)),
                                m.FieldCondition(key=key, is_empty=self.chance(0.5))])

    def is_null(self):
        key = self.rng.choice(SHAPE_KEYS)
        return self.rng.choice([m.IsNullCondition(is_null=m.PayloadField(key=key)),
                                m.FieldCondition(key=key, is_null=self.chance(0.5))])

    def has_id(self):
        return m.HasIdCondition(has_id=self.some(self.id, 0, 6))

    def has_vector(self):
        return m.HasVectorCondition(has_vector=self.rng.choice(VECTORS))

    def slice(self):
        total = self.rng.randint(1, 4)
        return m.SliceCondition(slice=m.Slice(total=total, index=self.rng.randint(0, total - 1)))

    def nested(self):
        of_element = [lambda: self.match("x", self.number(0, 4)),
                      lambda: m.FieldCondition(key="n", range=m.Range(gte=self.rng.randint(0, 4))),
                      lambda: self.match("y", self.keyword),
                      lambda: self.match("k", self.keyword)]
        # There always is a must, for the local mode takes elements that aren't objects for empty ones, which pass a must_not.
        clauses = {clause: self.some(lambda: self.rng.choice(of_element)(), 1, 2)
                   for clause in ["must", *self.sample(["should", "must_not"], 0, 1)]}
        return m.NestedCondition(nested=m.Nested(key=self.rng.choice(["nested", "nested.arr", "nested[]"]), filter=m.Filter(**clauses)))

    def filter_or_none(self, probability):
        return self.filter() if self.chance(probability) else None

    def filter_of_a_level(self):
        """The filter of one level of a query with several, or none."""
        # Filters of two levels hold both on a node. In the local mode and in Qdrant it is enough that one condition of the
        # should of either does, so that there is none at the top: see docs/compatibility.md.
        return m.Filter(must=[self.filter()]) if self.chance(0.4) else None

    # Reading.

    def with_payload(self):
        return self.rng.choice([True, False, ["num", "nested"], ["nested.arr[].x", "city.name"],
                                m.PayloadSelectorInclude(include=["nested.n", "kw"]),
                                m.PayloadSelectorExclude(exclude=["nested.arr", "city.geo", "kw", "num"])])

    def with_vectors(self):
        return self.rng.choice([False, False, True, ["text"], ["words", "code"]])

    def scroll(self):
        return Request("scroll", {"scroll_filter": self.filter(), "limit": 1000})

    def page(self):
        return Request("scroll", {
            "scroll_filter": self.filter_or_none(0.5), "limit": self.rng.randint(1, 9),
            "offset": self.rng.choice([None, self.id(), self.id()]),
            "with_payload": self.with_payload(), "with_vectors": self.with_vectors()})

    def ordered(self):
        # Only by fields that are indexed in every seed: without an index a node refuses.
        key = self.rng.choice(list(ORDERED))
        start = (self.time() if key == "dt" else self.rng.randint(-3, 10)) if self.chance(0.4) else None
        return Request("scroll", {
            "scroll_filter": self.filter_or_none(0.4), "limit": self.rng.randint(1, 30),
            "order_by": m.OrderBy(key=key, direction=self.rng.choice(list(m.Direction)), start_from=start)})

    def count(self):
        return Request("count", {"count_filter": self.filter()})

    def retrieve(self):
        return Request("retrieve", {"ids": self.some(self.id, 1, 8), "with_payload": self.with_payload(),
                                    "with_vectors": self.with_vectors()})

    def nearest(self, names, by_id=True):
        """A query for what is near a vector, or a point, of one of the names."""
        name = self.rng.choice(names)
        return {"using": name, "query": self.id() if by_id and self.chance(0.3) else self.vector(name)}

    def query(self):
        return Request("query_points", {
            **self.nearest(VECTORS), "query_filter": self.filter_or_none(0.6), "limit": self.rng.randint(1, 15),
            "with_payload": self.with_payload(), "with_vectors": self.with_vectors(), "offset": self.rng.choice([None, 0, 2, 5]),
            "score_threshold": self.rng.choice([None, None, 0.1, 1.0]), "search_params": EXACT})

    def query_batch(self):
        def query():
            return m.QueryRequest(**self.nearest(VECTORS), filter=self.filter_or_none(0.4), limit=self.rng.randint(1, 6), params=EXACT)

        return Request("query_batch_points", {"requests": self.some(query, 1, 3)})

    def prefetches(self, most, names=VECTORS, by_id=True, depth=0):
        count = self.rng.randint(1, most)
        # A node leaves points that any part of the query names by ID out of all of it, the local mode out of what is
        # below that part. Without siblings that is the same.
        by_id = by_id and count == 1
        return [m.Prefetch(**self.nearest(names, by_id), limit=self.rng.randint(1, 20), filter=self.filter_of_a_level(), params=EXACT,
                           prefetch=self.prefetches(2, by_id=by_id, depth=1) if depth == 0 and self.chance(0.2) else None)
                for _ in range(count)]

    def rescored(self):
        prefetches = self.prefetches(2)
        by_id = len(prefetches) == 1 and len(prefetches[0].prefetch or []) < 2
        return Request("query_points", {"prefetch": prefetches, **self.nearest(VECTORS, by_id), "query_filter": self.filter_of_a_level(),
                                        "limit": 10, "search_params": EXACT})

    def fused(self):
        fusion = self.rng.choice([m.FusionQuery(fusion=m.Fusion.RRF), m.FusionQuery(fusion=m.Fusion.DBSF),
                                  m.RrfQuery(rrf=m.Rrf(k=self.rng.choice([1, 10, 60])))])
        names = VECTORS
        if isinstance(fusion, m.FusionQuery) and fusion.fusion == m.Fusion.DBSF:
            # The local mode puts the farthest first where a smaller score is the better one: see docs/compatibility.md.
            names = [name for name in VECTORS if name not in ("code", "grid")]
        return Request("query_points", {"prefetch": self.prefetches(3, names), "query": fusion, "query_filter": self.filter_of_a_level(),
                                        "limit": self.rng.randint(1, 15)})

    # Changing.

    def selector(self):
        return self.some(self.id, 1, 4) if self.chance(0.5) else self.filter()

    def upsert(self):
        return Request("upsert", {"points": self.some(self.point, 1, 4), "update_filter": self.filter_or_none(0.3)})

    def set_payload(self):
        key = self.rng.choice([None, None, "nested", "nested.arr[0]", "city", "new.deep", "nested.arr[]", "nested[0].z"])
        return Request("set_payload", {"payload": self.payload_to_set(), "points": self.selector(), "key": key})

    def overwrite_payload(self):
        return Request("overwrite_payload", {"payload": self.payload(), "points": self.selector()})

    def delete_payload(self):
        keys = ["num", "kw", "nested.arr", "nested.arr[].x", "city.name", "nested[].n", "missing", "nested.arr[0]"]
        return Request("delete_payload", {"keys": self.sample(keys, 1, 3), "points": self.selector()})

    def few(self):
        """A selector of few points, so that the collection isn't soon empty."""
        ids = self.some(self.id, 1, 3)
        return ids if self.chance(0.7) else m.Filter(must=[m.HasIdCondition(has_id=self.some(self.id, 6, 12)), self.filter()])

    def clear_payload(self):
        return Request("clear_payload", {"points_selector": self.few()})

    def update_vectors(self):
        points = [m.PointVectors(id=id, vector=self.vectors() or {"text": self.dense("text")}) for id in self.sample(self.present, 1, 3)]
        points = points or [m.PointVectors(id=self.id(), vector={"text": self.dense("text")})]
        return Request("update_vectors", {"points": points, "update_filter": self.filter_or_none(0.4)})

    def delete_vectors(self):
        return Request("delete_vectors", {"vectors": self.sample(VECTORS, 1, 2), "points": self.selector()})

    def delete(self):
        return Request("delete", {"points_selector": self.few()})

    def update_batch(self):
        kinds = [self.upsert, self.upsert, self.set_payload, self.overwrite_payload, self.delete_payload, self.clear_payload,
                 self.update_vectors, self.delete_vectors, self.delete]
        operations = [operation(self.rng.choice(kinds)()) for _ in range(self.rng.randint(1, 4))]
        return Request("batch_update_points", {"update_operations": operations})

    def read(self):
        # The more can be asked for, the more often it is.
        return self.rng.choice([self.scroll] * 4 + [self.count] * 2 + [self.query] * 4 + [
            self.page, self.ordered, self.retrieve, self.query_batch] + [self.rescored, self.fused] * 2)()

    def change(self):
        return self.rng.choice([self.upsert] * 4 + [
            self.set_payload, self.set_payload, self.overwrite_payload, self.delete_payload, self.clear_payload,
            self.update_vectors, self.delete_vectors, self.delete, self.update_batch])()


def operation(request):
    """The request as a part of a batch."""
    def selected(selector):
        return m.FilterSelector(filter=selector) if isinstance(selector, m.Filter) else m.PointIdsList(points=selector)

    def by(selector):
        return {"filter": selector} if isinstance(selector, m.Filter) else {"points": selector}

    a = request.arguments
    return {
        "upsert": lambda: m.UpsertOperation(upsert=m.PointsList(**a)),
        "set_payload": lambda: m.SetPayloadOperation(set_payload=m.SetPayload(payload=a["payload"], key=a["key"], **by(a["points"]))),
        "overwrite_payload": lambda: m.OverwritePayloadOperation(overwrite_payload=m.SetPayload(payload=a["payload"], **by(a["points"]))),
        "delete_payload": lambda: m.DeletePayloadOperation(delete_payload=m.DeletePayload(keys=a["keys"], **by(a["points"]))),
        "clear_payload": lambda: m.ClearPayloadOperation(clear_payload=selected(a["points_selector"])),
        "update_vectors": lambda: m.UpdateVectorsOperation(update_vectors=m.UpdateVectors(**a)),
        "delete_vectors": lambda: m.DeleteVectorsOperation(delete_vectors=m.DeleteVectors(vector=a["vectors"], **by(a["points"]))),
        "delete": lambda: m.DeleteOperation(delete=selected(a["points_selector"])),
    }[request.method]()


@dataclass
class Refused:
    """The answer to a request that isn't carried out because of what it asks for."""

    why: str


@dataclass
class Broken:
    """The answer to a request that failed for any other reason; it agrees with nothing."""

    why: str


def answer(client, request, transport):
    """What the client gets for the request, as plain values that can be compared."""
    try:
        got = request.send(client)
    except UnexpectedResponse as error:
        return (Refused if error.status_code < 500 else Broken)(str(error))
    except grpc.RpcError as error:
        refused = error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
        return (Refused if refused else Broken)(f"{error.code().name}: {error.details()}")
    except (ValueError, KeyError) as error:
        # The local mode's, but for an answer of the node that the client can't read.
        return (Broken if isinstance(error, ValidationError) else Refused)(repr(error))
    except Exception as error:
        return Broken(repr(error))
    return plain(request, got, transport)


def plain(request, got, transport):
    def point(of):
        return content(of, transport)

    if request.method == "count":
        return got.count
    if request.method == "retrieve":
        return {str(p.id): point(p) for p in got}
    if request.method == "query_points":
        return ranked([(p.score, str(p.id), point(p)) for p in got.points], request.arguments.get("offset"))
    if request.method == "query_batch_points":
        return [ranked([(p.score, str(p.id), point(p)) for p in response.points]) for response in got]
    if request.method != "scroll":
        return "done"
    points, after = got
    if "order_by" in request.arguments:
        # A point has a place for each of its values. They aren't computed, so as text they have to be the same.
        return ranked([(repr(float(p.order_value)), f"{p.id} at {p.order_value:g}", point(p)) for p in points])
    return {"ids": [str(p.id) for p in points], "points": {str(p.id): point(p) for p in points}, "next": str(after)}


def content(point, transport):
    payload = point.payload
    if payload is not None:
        # As text, values have to be exactly the same.
        payload = {key: json.dumps(value, ensure_ascii=False, sort_keys=True) for key, value in payload.items()}
    elif transport == "grpc":
        payload = {}  # where a payload without fields looks like none
    return {"payload": payload, "vectors": plain_vectors(point.vector)}


def plain_vectors(vectors):
    if isinstance(vectors, dict):
        return {name: plain_vectors(vector) for name, vector in vectors.items()}
    if isinstance(vectors, m.SparseVector):
        return [list(pair) for pair in sorted(zip(vectors.indices, vectors.values))]
    return vectors


def ranked(hits, offset=None):
    """Hits as (score, key, content), with the scores at which the list was cut out of the one of all hits."""
    scores = [score for score, _, _ in hits]
    return {"scores": scores, "cut": scores[-1:] + (scores[:1] if offset else []),
            "hits": {key: {"score": score, "content": what} for score, key, what in hits}}


def close(a, b):
    if isinstance(a, Broken) or isinstance(b, Broken):
        return False
    if isinstance(a, Refused) or isinstance(b, Refused):
        return isinstance(a, Refused) and isinstance(b, Refused)
    if isinstance(a, dict) and isinstance(b, dict):
        return not difference(a, b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(close, a, b))
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return abs(a - b) <= TOLERANCE * max(1, abs(a))
    return a == b


ABSENT = "(absent)"


def difference(a, b):
    """The parts of two dicts that differ, by their path, as pairs."""
    differ = {}
    for key in sorted(a.keys() | b.keys()):
        if "cut" in a and key == "hits":
            left, right = without_ties(a, b)
        else:
            left, right = a.get(key, ABSENT), b.get(key, ABSENT)
        if not close(left, right):
            differ[key] = difference(left, right) if isinstance(left, dict) and isinstance(right, dict) else (left, right)
    return differ


def without_ties(a, b):
    """The hits of both, but for those that one of them has instead of others with the same score, where the list was cut."""
    def tied(hit):
        return any(close(hit["score"], cut) for cut in a["cut"])

    return [{key: hit for key, hit in of["hits"].items() if key in other["hits"] or not tied(hit)}
            for of, other in ((a, b), (b, a))]


EVERYTHING = Request("scroll", {"limit": 10000, "with_payload": True, "with_vectors": True})


class Run:
    """One seed, with its collection in both."""

    def __init__(self, node, transport, seed):
        self.node, self.transport, self.seed = node, transport, seed
        self.local = QdrantClient(":memory:")
        self.draw = Draw(seed)
        self.step = self.refused = 0

    def create(self):
        for client in (self.local, self.node):
            client.delete_collection(COLLECTION)
            client.create_collection(
                COLLECTION,
                vectors_config={name: m.VectorParams(size=size, distance=distance) for name, (size, distance) in DENSE.items()},
                sparse_vectors_config={name: m.SparseVectorParams(modifier=modifier) for name, modifier in SPARSE.items()})
        for field, schema in {**ORDERED, **(INDEXED if self.draw.indexed else {})}.items():
            self.node.create_payload_index(COLLECTION, field, field_schema=schema, wait=True)

    def compare(self, request, because=None):
        """Sends the request to both; because is the change that it checks, if it does."""
        local, node = (answer(client, request, self.transport) for client in (self.local, self.node))
        if close(local, node):
            return local
        if isinstance(local, dict) and isinstance(node, dict):
            differ = difference(local, node)
            local, node = side(differ, 0), side(differ, 1)
        after = f"\n  after:      {because}" if because else ""
        sys.exit(f"{self.transport} seed {self.seed} step {self.step}: the answers differ{after}\n"
                 f"  request:    {request}\n  local mode: {local}\n  node:       {node}")

    def change(self, request):
        done = self.compare(request)
        self.refused += isinstance(done, Refused)
        ids = self.compare(EVERYTHING, because=request)["ids"]
        self.draw.present = [int(id) if id.isdecimal() else id for id in ids]

    def steps(self, count):
        self.create()
        self.change(Request("upsert", {"points": [self.draw.point() for _ in range(POINTS_AT_FIRST)]}))
        for self.step in range(1, count + 1):
            if self.draw.chance(1 / 3):
                self.change(self.draw.change())
            else:
                self.refused += isinstance(self.compare(self.draw.read()), Refused)
        # Requests that both refuse compare little, and should be few.
        assert self.refused <= max(10, count / 4), f"seed {self.seed}: {self.refused} of {count} requests were refused"
        print(f"{self.transport} seed {self.seed}: {count} steps, {self.refused} refused by both, {len(self.draw.present)} points left")


def side(differ, which):
    """One side of the pairs of a difference."""
    return {key: side(value, which) if isinstance(value, dict) else value[which] for key, value in differ.items()}


def main():
    warnings.filterwarnings("ignore", message="Local mode performs exact")  # which is what search_params ask for
    transport, http_port, grpc_port, first, seeds, steps = sys.argv[1], *map(int, sys.argv[2:7])
    node = QdrantClient(host="127.0.0.1", port=http_port, grpc_port=grpc_port, prefer_grpc=transport == "grpc", timeout=60)
    for seed in range(first, first + seeds):
        Run(node, transport, seed).steps(steps)
    node.delete_collection(COLLECTION)
    node.close()


if __name__ == "__main__":
    main()
