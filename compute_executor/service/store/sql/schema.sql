-- The tables of the service. Each version of the schema is a step from the one before (service.database).
-- Times are Unix seconds. Ids are raw bytes. Everything has an owner: the id of an identity (service.access).

-- name: schema_1

-- What there is one of: 'seq', the highest outcome number ever given.
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- Functions by content. `sharing` is part of the content: the same code shared otherwise is another function.
-- The code lies in `code`, or in the blob named `blob` of `size` bytes. A deleted one stays for its open tasks.
CREATE TABLE functions (
    id BLOB PRIMARY KEY,
    owner TEXT NOT NULL,
    digest BLOB NOT NULL,
    sharing TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    metadata BLOB NOT NULL,
    public INTEGER NOT NULL,
    shared_with TEXT,
    container BLOB,
    code BLOB,
    blob TEXT,
    size INTEGER NOT NULL,
    created REAL NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX functions_by_content ON functions (owner, digest, sharing);

-- Task groups. `floor` is the highest outcome number when the group began: its own are above.
-- `acked`: a client has set the futures of all outcomes up to this number.
CREATE TABLE groups (
    id BLOB PRIMARY KEY,
    owner TEXT NOT NULL,
    floor INTEGER NOT NULL,
    acked INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL
) WITHOUT ROWID;

-- Batches of tasks, one row each. AUTOINCREMENT: a number is never given twice, because the rings of workers
-- name tasks by it. `functions`: 16-byte ids, joined. `tasks`: as it came (frames.Submit.tasks); NULL once
-- finished. `last_seq`: the highest outcome number of the batch when it was finished.
CREATE TABLE batches (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    prefix BLOB NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    task_group BLOB NOT NULL,
    endpoint BLOB NOT NULL,
    pool BLOB NOT NULL,
    functions BLOB NOT NULL,
    tasks BLOB,
    count INTEGER NOT NULL,
    options BLOB NOT NULL,
    created REAL NOT NULL,
    finished REAL,
    last_seq INTEGER
);
-- The open ones (NULL) come first in it, then the others by age.
CREATE INDEX batches_by_end ON batches (finished);
CREATE INDEX batches_by_group ON batches (task_group);

-- How tasks ended, one row each; `seq` rises over the whole service and is never given twice. The body lies in
-- `body`, or in the blob named `blob` of `size` bytes. The first outcome of a task is kept, later ones ignored.
CREATE TABLE outcomes (
    seq INTEGER PRIMARY KEY,
    batch INTEGER NOT NULL,
    position INTEGER NOT NULL,
    status INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    began REAL NOT NULL,
    ended REAL NOT NULL,
    body BLOB,
    blob TEXT,
    size INTEGER
);
CREATE UNIQUE INDEX outcomes_by_task ON outcomes (batch, position);

-- Tasks that run again after a lost worker: the attempt that is due. Anything older is void.
CREATE TABLE attempts (
    batch INTEGER NOT NULL,
    position INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    PRIMARY KEY (batch, position)
) WITHOUT ROWID;

-- Which blob files are in use, and for what: 'task' (an argument), 'part' (what arguments refer to), 'outcome' (a
-- result), 'function' (its code; batch is 0). A file goes when its last row goes.
CREATE TABLE blobs (
    name TEXT NOT NULL,
    batch INTEGER NOT NULL,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    PRIMARY KEY (name, batch, kind)
) WITHOUT ROWID;
CREATE INDEX blobs_by_batch ON blobs (batch, kind);

-- The pools of Executors that may still have tasks. `spec`: msgpack of frames.PoolSpec.
CREATE TABLE pools (
    id BLOB PRIMARY KEY,
    owner TEXT NOT NULL,
    spec BLOB NOT NULL,
    created REAL NOT NULL
) WITHOUT ROWID;

-- Idempotency keys of submits over HTTP; `digest` is that of the request's body.
CREATE TABLE submit_keys (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    digest BLOB NOT NULL,
    prefix BLOB NOT NULL,
    PRIMARY KEY (owner, key)
) WITHOUT ROWID;
CREATE INDEX submit_keys_by_prefix ON submit_keys (prefix);


-- name: schema_2

-- Endpoints that registered themselves: stock Globus Compute endpoints, which are reached through RabbitMQ.
-- `allowed`: JSON list of function ids, NULL for any. `metadata`: JSON, as registered.
-- `state`: JSON, what its last heartbeat said; `seen` when that was.
CREATE TABLE endpoints (
    id BLOB PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    multi_user INTEGER NOT NULL,
    public INTEGER NOT NULL,
    shared_with TEXT,
    allowed TEXT,
    metadata TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT '{}',
    seen REAL NOT NULL DEFAULT 0,
    locked_until REAL NOT NULL DEFAULT 0,
    created REAL NOT NULL
) WITHOUT ROWID;

-- The processes that endpoints start for their users, one for each user and configuration; each is a pool.
-- `config`, `runtime`: JSON, of the first submit. `details`: JSON, what its workers last said of themselves.
CREATE TABLE user_endpoints (
    id BLOB PRIMARY KEY,
    endpoint BLOB NOT NULL,
    owner TEXT NOT NULL,
    owner_name TEXT NOT NULL,
    config TEXT NOT NULL,
    runtime TEXT NOT NULL,
    details TEXT NOT NULL DEFAULT '{}',
    state TEXT NOT NULL DEFAULT '{}',
    seen REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- Which tasks were given to the broker, in order, before they were; `back` = 1: these did not get there after all.
-- Nothing else knows it when the service is killed.
CREATE TABLE given (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    user_endpoint BLOB NOT NULL,
    batch INTEGER NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    back INTEGER NOT NULL
);
CREATE INDEX given_by_batch ON given (batch);

-- Task groups whose results also go into a queue of the broker; `sent`: up to this outcome number they did.
CREATE TABLE result_queues (
    task_group BLOB PRIMARY KEY,
    owner TEXT NOT NULL,
    sent INTEGER NOT NULL
) WITHOUT ROWID;


-- name: schema_3

-- What workers can be started in besides the caller's interpreter. `source`: JSON of endpoint.recipes.Source, which
-- says how it is built or where it is. The same again from the same owner is the same container.
CREATE TABLE containers (
    id BLOB PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    source BLOB NOT NULL,
    created REAL NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX containers_by_content ON containers (owner, source, name, description);


-- name: schema_4

-- Users and clients. `id`: a UUID as text, the owner of what they have. `secret`: SHA-256 of a client's, good until
-- `expires`.
CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    secret BLOB,
    expires REAL,
    created REAL NOT NULL
) WITHOUT ROWID;

-- Groups of them; `groups` are those of tasks.
CREATE TABLE user_groups (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE members (
    user_group TEXT NOT NULL,
    account TEXT NOT NULL,
    PRIMARY KEY (user_group, account)
) WITHOUT ROWID;

-- Bearer tokens. `digest`: SHA-256 of the token, which is kept nowhere; `id`: what it is revoked by.
CREATE TABLE tokens (
    digest BLOB PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    created REAL NOT NULL,
    expires REAL
) WITHOUT ROWID;


-- name: schema_5

-- What lists show. `label`, `program`: of the Executor that made the group (JSON of frames.ProgramInfo).
ALTER TABLE groups ADD COLUMN label TEXT NOT NULL DEFAULT '';
ALTER TABLE groups ADD COLUMN program TEXT NOT NULL DEFAULT '{}';
CREATE INDEX groups_by_age ON groups (created);

-- `indexes`: which of its functions each task calls, two bytes each; NULL: there is one function. `failed`, `lost`,
-- `cancelled`: how many of its tasks ended so; NULL while it is open.
ALTER TABLE batches ADD COLUMN indexes BLOB;
ALTER TABLE batches ADD COLUMN failed INTEGER;
ALTER TABLE batches ADD COLUMN lost INTEGER;
ALTER TABLE batches ADD COLUMN cancelled INTEGER;
UPDATE batches SET
    failed = (SELECT count(*) FROM outcomes WHERE batch = number AND status IN (1, 4, 6)),
    lost = (SELECT count(*) FROM outcomes WHERE batch = number AND status IN (2, 5)),
    cancelled = (SELECT count(*) FROM outcomes WHERE batch = number AND status = 3)
WHERE finished IS NOT NULL;


-- name: schema_6

-- The end of what the task has written (frames.Written); NULL: nothing.
ALTER TABLE outcomes ADD COLUMN output BLOB;


-- name: schema_7

-- What speaks to the endpoint: the name of a kind (service.endpoints.remote_kind).
ALTER TABLE endpoints ADD COLUMN kind TEXT NOT NULL DEFAULT 'globus_compute';


-- name: schema_8

-- The process that ran it; NULL: none did, or it is not known.
ALTER TABLE outcomes ADD COLUMN worker INTEGER;


-- name: schema_9

-- Tokens of endpoints of our own, as hashes: each opens the stream of its endpoint, and nothing else.
CREATE TABLE endpoint_tokens (
    digest BLOB PRIMARY KEY,
    endpoint BLOB NOT NULL,
    created REAL NOT NULL
) WITHOUT ROWID;


-- name: schema_10

-- How long outcomes are kept, in seconds after the end (frames.Options.keep); NULL: as the service keeps all.
ALTER TABLE batches ADD COLUMN keep REAL;
CREATE INDEX batches_kept ON batches (finished) WHERE keep IS NOT NULL;


-- name: schema_11

-- The one endpoint on which it may run (`ha_endpoint_id` of the Globus Compute SDK); NULL: any. Part of its content.
ALTER TABLE functions ADD COLUMN only_on BLOB;
