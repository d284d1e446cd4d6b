-- Every query of the service by name. Values are bound, never pasted.

-- name: set_meta
INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: drop_meta
DELETE FROM meta WHERE key = ?;

-- name: last_seq
-- The highest outcome number ever given: deleting the newest outcomes must not make numbers come again.
SELECT max(coalesce((SELECT max(seq) FROM outcomes), 0), coalesce((SELECT value FROM meta WHERE key = 'seq'), 0));

-- name: next_seq
SELECT coalesce(min(seq), 0) FROM outcomes WHERE seq > ?;

-- name: quick_check
PRAGMA quick_check(1);

-- name: integrity_check
PRAGMA integrity_check(20);

-- name: count_functions
SELECT count(*) FROM functions;

-- name: count_groups
SELECT count(*) FROM groups;

-- name: count_batches
SELECT count(*) FROM batches;

-- name: count_open_batches
SELECT count(*) FROM batches WHERE finished IS NULL;

-- name: count_outcomes
SELECT count(*) FROM outcomes;

-- name: count_pools
SELECT count(*) FROM pools;

-- name: count_accounts
SELECT count(*) FROM accounts;

-- name: count_tokens
SELECT count(*) FROM tokens;

-- name: loose_outcomes
SELECT count(*) FROM outcomes WHERE batch NOT IN (SELECT number FROM batches);

-- name: loose_blobs
SELECT count(*) FROM blobs WHERE batch != 0 AND batch NOT IN (SELECT number FROM batches);

-- name: empty_batches
SELECT count(*) FROM batches WHERE finished IS NULL AND tasks IS NULL;

-- name: function_ids
SELECT id FROM functions;

-- name: open_functions
SELECT prefix, functions FROM batches WHERE finished IS NULL;

-- name: blob_names
SELECT DISTINCT name FROM blobs;

-- name: blob_sizes
SELECT blob, size FROM outcomes WHERE blob IS NOT NULL
UNION SELECT blob, size FROM functions WHERE blob IS NOT NULL AND NOT deleted;


-- name: add_function
INSERT INTO functions
    (id, owner, digest, sharing, name, description, metadata, public, shared_with, container, only_on, code, blob,
     size, created)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (owner, digest, sharing) DO UPDATE SET
    deleted = 0, name = excluded.name, description = excluded.description, metadata = excluded.metadata;

-- name: delete_function
UPDATE functions SET deleted = 1 WHERE id = ?;

-- name: function_by_id
SELECT id, owner, digest, sharing, name, description, metadata, public, shared_with, container, only_on, blob, size,
    created
FROM functions WHERE id = ? AND NOT deleted;

-- name: functions_shared
-- Read as a whole: lists are asked for by people. instr: no character of the text means anything.
SELECT id, owner, digest, sharing, name, description, metadata, public, shared_with, container, only_on, blob, size,
    created
FROM functions
WHERE NOT deleted AND (owner = ? OR public OR shared_with IN (SELECT value FROM json_each(?)))
    AND (instr(lower(name), lower(?)) OR instr(lower(description), lower(?)))
ORDER BY owner = ? DESC, created DESC, id LIMIT ? OFFSET ?;

-- name: functions_of_blob
SELECT owner, shared_with, public FROM functions WHERE blob = ? AND NOT deleted;

-- name: function_owned
SELECT owner, shared_with, public FROM functions WHERE id = ?;

-- name: function_by_content
SELECT id FROM functions WHERE owner = ? AND digest = ? AND sharing = ?;

-- name: functions_by_digest
-- A batch may name a function by its digest: the owner's newest of that content that is for no container and for any
-- endpoint.
SELECT id FROM functions WHERE owner = ? AND digest = ? AND container IS NULL AND only_on IS NULL AND NOT deleted
ORDER BY created DESC, id LIMIT 1;

-- name: function_name
SELECT name FROM functions WHERE id = ?;

-- name: function_code
SELECT code, blob, size FROM functions WHERE id = ?;


-- name: add_group
INSERT INTO groups (id, owner, floor, created, label, program) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING;

-- name: group_by_id
SELECT owner, floor, acked FROM groups WHERE id = ?;

-- name: acknowledge
UPDATE groups SET acked = max(acked, ?) WHERE id = ?;

-- name: group_batches
SELECT prefix, count, created FROM batches WHERE task_group = ? ORDER BY number;

-- name: abandoned_groups
-- Groups without batches, old enough that no first batch of theirs is on its way.
SELECT id FROM groups
WHERE created < ? AND NOT EXISTS (SELECT 1 FROM batches WHERE task_group = groups.id) LIMIT ?;

-- name: drop_group
DELETE FROM groups WHERE id = ?;


-- name: add_batch
INSERT INTO batches
    (prefix, owner, task_group, endpoint, pool, functions, tasks, count, options, created, indexes, keep)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (prefix) DO NOTHING;

-- name: batch_by_prefix
SELECT number, owner, task_group, count, finished FROM batches WHERE prefix = ?;

-- name: batch_content
SELECT task_group, count, options, tasks FROM batches WHERE prefix = ?;

-- name: batch_pool
SELECT pool FROM batches WHERE prefix = ?;

-- name: batch_tasks
SELECT tasks FROM batches WHERE number = ?;

-- name: open_batches
SELECT number, prefix, owner, task_group, endpoint, pool, functions, count, options
FROM batches WHERE finished IS NULL ORDER BY number;

-- name: finish_batch
-- The arguments are not needed any more.
UPDATE batches SET finished = ?, last_seq = ?, failed = ?, lost = ?, cancelled = ?, tasks = NULL WHERE number = ?;

-- name: tally
SELECT status, count(*) FROM outcomes WHERE batch = ? AND status != 0 GROUP BY status;


-- name: groups_of_open_batches
SELECT DISTINCT g.id, g.program FROM batches b JOIN groups g ON g.id = b.task_group WHERE b.finished IS NULL;

-- name: newest_groups
SELECT id, owner, label, program, created FROM groups ORDER BY created DESC LIMIT ?;

-- name: newest_groups_of
SELECT id, owner, label, program, created FROM groups WHERE owner = ? ORDER BY created DESC LIMIT ?;

-- name: group_head
SELECT id, owner, label, program, created FROM groups WHERE id = ?;

-- name: groups_between
-- By the beginning of an id.
SELECT id, owner, label, program, created FROM groups WHERE id >= ? AND id <= ? LIMIT ?;

-- name: groups_labelled
SELECT id, owner, label, program, created FROM groups WHERE owner = ? AND label = ? ORDER BY created DESC LIMIT ?;

-- name: finished_counts
-- By owner and task group, of batches up to a number; without batches (JSON list of numbers) that are counted in memory.
SELECT owner, task_group, max(finished), sum(count), sum(coalesce(failed, 0)), sum(coalesce(lost, 0)), sum(coalesce(cancelled, 0))
FROM batches
WHERE finished IS NOT NULL AND number <= ? AND number NOT IN (SELECT value FROM json_each(?)) GROUP BY owner, task_group;

-- name: last_batch
SELECT coalesce(max(number), 0) FROM batches;

-- name: function_figures
-- Which function: the 16 bytes of `functions` at the index that the third column has, little-endian (NULL: the first).
-- Then: status, how many, how many of these ran, for how long together, the longest.
SELECT b.owner, b.functions, substr(b.indexes, 2 * o.position + 1, 2) AS place, o.status, count(*),
    sum(o.began > 0), total(iif(o.began > 0, max(0.0, o.ended - o.began), 0.0)),
    max(iif(o.began > 0, o.ended - o.began, 0.0))
FROM outcomes o CROSS JOIN batches b ON b.number = o.batch
WHERE o.seq > ? AND o.seq <= ? GROUP BY b.owner, b.functions, place, o.status;

-- name: newest_ends
-- Of the newest outcomes: how many were looked at, how many ended after a time, and the first of these.
SELECT count(*), coalesce(sum(ended > ? AND mine), 0), coalesce(min(iif(ended > ?, ended, NULL)), 0.0)
FROM (
    SELECT o.ended, (? IS NULL OR b.owner = ?) AS mine
    FROM outcomes o CROSS JOIN batches b ON b.number = o.batch ORDER BY o.seq DESC LIMIT ?
);

-- name: listed_batches
-- Of an owner, and of a task group (NULL: of any), with numbers from :low to below :below, newest first; with :state
-- ('' for any) those that can have a task in this state.
SELECT number, prefix, owner, task_group, pool, endpoint, functions, indexes, count, created, finished,
    coalesce(failed, 0), coalesce(lost, 0), coalesce(cancelled, 0)
FROM batches WHERE number >= :low AND number < :below AND owner = :owner
    AND (:task_group IS NULL OR task_group = :task_group)
    AND CASE WHEN :state = '' THEN 1
        WHEN finished IS NULL THEN 1
        WHEN :state = 'succeeded' THEN count > coalesce(failed, 0) + coalesce(lost, 0) + coalesce(cancelled, 0)
        WHEN :state = 'failed' THEN failed
        WHEN :state = 'lost' THEN lost
        WHEN :state = 'cancelled' THEN cancelled END
ORDER BY number DESC LIMIT :limit;

-- name: batch_before
-- The newest batch with a number below this: its number, and when it was submitted.
SELECT number, created FROM batches WHERE number < ? ORDER BY number DESC LIMIT 1;

-- name: listed_batch
SELECT number, prefix, owner, task_group, pool, endpoint, functions, indexes, count, created, finished,
    coalesce(failed, 0), coalesce(lost, 0), coalesce(cancelled, 0)
FROM batches WHERE number = ?;

-- name: batches_between
-- By the beginning of a prefix.
SELECT number, prefix, owner, count FROM batches WHERE prefix >= ? AND prefix <= ? LIMIT ?;

-- name: listed_outcomes
SELECT position, status, attempt, began, ended, iif(status = 0, NULL, body), blob, size, worker
FROM outcomes WHERE batch = ? AND position < ? ORDER BY position DESC LIMIT ?;

-- name: add_submit_key
INSERT INTO submit_keys (owner, key, digest, prefix) VALUES (?, ?, ?, ?);

-- name: submit_key
SELECT k.digest, b.prefix, b.task_group, b.endpoint
FROM submit_keys k JOIN batches b ON b.prefix = k.prefix WHERE k.owner = ? AND k.key = ?;


-- name: add_outcomes
-- repeat: 50
INSERT INTO outcomes (seq, batch, position, status, attempt, began, ended, body, blob, size, output, worker)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING;

-- name: outcome_of
SELECT seq, status, body, blob, size, began, ended, output FROM outcomes WHERE batch = ? AND position = ?;

-- name: ended_positions
SELECT position FROM outcomes WHERE batch = ?;

-- name: group_outcomes
-- CROSS JOIN: along the outcome numbers, not batch by batch; the range is kept short by the caller.
SELECT o.seq, b.prefix, o.position, o.status, o.body, o.blob, o.size, o.began, o.ended, o.output
FROM outcomes o CROSS JOIN batches b ON b.number = o.batch
WHERE o.seq > ? AND o.seq <= ? AND b.task_group = ?
ORDER BY o.seq;

-- name: spans
-- Tasks that have ended, in the order of their outcome numbers. The last: see function_figures.
SELECT o.seq, b.prefix, o.position, o.status, o.attempt, o.began, o.ended, o.worker, b.created, b.task_group,
    b.functions, substr(b.indexes, 2 * o.position + 1, 2)
FROM outcomes o CROSS JOIN batches b ON b.number = o.batch WHERE o.seq > ? ORDER BY o.seq LIMIT ?;

-- name: group_printed
-- As group_outcomes, but only those that have printed something.
SELECT o.seq, b.prefix, o.position, o.output
FROM outcomes o CROSS JOIN batches b ON b.number = o.batch
WHERE o.seq > ? AND o.seq <= ? AND b.task_group = ? AND o.output IS NOT NULL
ORDER BY o.seq;

-- name: next_attempt
INSERT INTO attempts (batch, position, attempt) VALUES (?, ?, ?)
ON CONFLICT (batch, position) DO UPDATE SET attempt = max(attempt, excluded.attempt);

-- name: attempts_due
SELECT batch, position, attempt FROM attempts;

-- name: drop_attempts
DELETE FROM attempts WHERE batch = ?;


-- name: add_blob
INSERT INTO blobs (name, batch, kind, owner) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: add_outcome_blob
-- A result belongs to whom its batch belongs to.
INSERT INTO blobs (name, batch, kind, owner) SELECT ?, number, 'outcome', owner FROM batches WHERE number = ?
ON CONFLICT DO NOTHING;

-- name: argument_blobs
SELECT DISTINCT name FROM blobs WHERE batch = ? AND kind IN ('task', 'part');

-- name: parts_of_batch
SELECT DISTINCT name FROM blobs WHERE batch = ? AND kind = 'part';

-- name: blobs_of_batch
SELECT name FROM blobs WHERE batch = ?;

-- name: part_blobs
SELECT DISTINCT name FROM blobs WHERE kind = 'part';

-- name: drop_argument_blobs
DELETE FROM blobs WHERE batch = ? AND kind IN ('task', 'part');

-- name: drop_blobs_of_batch
DELETE FROM blobs WHERE batch = ?;

-- name: blob_owners
SELECT DISTINCT owner FROM blobs WHERE name = ?;

-- name: blob_in_use
SELECT 1 FROM blobs WHERE name = ? LIMIT 1;


-- name: add_pool
INSERT INTO pools (id, owner, spec, created) VALUES (?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET spec = excluded.spec WHERE owner = excluded.owner;

-- name: all_pools
SELECT id, owner, spec FROM pools;

-- name: drop_pool
DELETE FROM pools WHERE id = ?;


-- name: expired_batch
-- The oldest finished batch that may go: acknowledged before the first time, or finished before the second.
SELECT b.number, b.prefix FROM batches b LEFT JOIN groups g ON g.id = b.task_group
WHERE b.finished IS NOT NULL AND b.finished < ?
    AND (b.finished < ? OR coalesce(b.last_seq, 0) <= coalesce(g.acked, 0)) AND b.keep IS NULL
ORDER BY b.finished LIMIT 1;

-- name: expired_kept_batch
-- The same, of those that say how long they are kept: for so many seconds (before the time that is given), or, where
-- it is 0, until they are acknowledged.
SELECT b.number, b.prefix FROM batches b LEFT JOIN groups g ON g.id = b.task_group
WHERE b.finished IS NOT NULL AND b.keep IS NOT NULL
    AND (b.keep > 0 AND b.finished + b.keep < ?
        OR b.keep = 0 AND coalesce(b.last_seq, 0) <= coalesce(g.acked, 0))
LIMIT 1;

-- name: large_results
-- Outcomes whose results are files that are there, with what their clients have acknowledged.
SELECT o.seq, b.task_group, o.blob, o.size, b.keep, coalesce(g.acked, 0)
FROM (SELECT DISTINCT batch FROM blobs WHERE kind = 'outcome') x
CROSS JOIN batches b ON b.number = x.batch
CROSS JOIN outcomes o ON o.batch = x.batch
LEFT JOIN groups g ON g.id = b.task_group
WHERE o.blob IS NOT NULL AND EXISTS (SELECT 1 FROM blobs WHERE name = o.blob AND batch = o.batch AND kind = 'outcome')
ORDER BY o.seq;

-- name: drop_result_blob
DELETE FROM blobs WHERE name = ? AND kind = 'outcome';

-- name: drop_some_outcomes
-- In steps: a batch may have a million.
DELETE FROM outcomes WHERE seq IN (SELECT seq FROM outcomes WHERE batch = ? LIMIT ?);

-- name: drop_batch
DELETE FROM batches WHERE number = ?;

-- name: drop_submit_keys
DELETE FROM submit_keys WHERE prefix = ?;

-- name: count_tasks
SELECT (SELECT count(*) FROM batches), (SELECT coalesce(sum(count), 0) FROM batches);


-- name: last_batch_number
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'batches'), 0);

-- name: kept_arguments
SELECT owner, sum(length(tasks)) FROM batches WHERE tasks IS NOT NULL GROUP BY owner;

-- name: kept_results
SELECT b.owner, sum(coalesce(length(o.body), 0)) FROM outcomes o JOIN batches b ON b.number = o.batch
WHERE o.body IS NOT NULL GROUP BY b.owner;

-- name: kept_functions
SELECT owner, sum(size) FROM functions WHERE deleted = 0 AND blob IS NULL GROUP BY owner;

-- name: kept_files
SELECT DISTINCT owner, name FROM blobs;

-- name: number_of_other_functions
SELECT count(*) FROM functions WHERE owner = ? AND deleted = 0 AND NOT (digest = ? AND sharing = ?);

-- name: put_endpoint
INSERT INTO endpoints
    (id, kind, owner, name, display_name, multi_user, public, shared_with, allowed, metadata, seen, created)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, display_name = excluded.display_name, multi_user = excluded.multi_user,
    public = excluded.public, shared_with = excluded.shared_with, allowed = excluded.allowed,
    metadata = excluded.metadata, seen = excluded.seen;

-- name: all_endpoints
SELECT id, kind, owner, name, display_name, multi_user, public, shared_with, allowed, metadata, state, seen,
    locked_until, created
FROM endpoints ORDER BY created;

-- name: endpoint_seen
UPDATE endpoints SET state = ?, seen = ? WHERE id = ?;

-- name: lock_endpoint
UPDATE endpoints SET locked_until = ? WHERE id = ?;

-- name: drop_endpoint
DELETE FROM endpoints WHERE id = ?;

-- name: put_user_endpoint
INSERT INTO user_endpoints (id, endpoint, owner, owner_name, config, runtime) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING;

-- name: all_user_endpoints
SELECT id, endpoint, owner, owner_name, config, runtime, details, state, seen FROM user_endpoints;

-- name: user_endpoint_seen
UPDATE user_endpoints SET state = ?, seen = ? WHERE id = ?;

-- name: user_endpoint_details
UPDATE user_endpoints SET details = ? WHERE id = ?;

-- name: drop_user_endpoint
DELETE FROM user_endpoints WHERE id = ?;

-- name: add_given
INSERT INTO given (user_endpoint, batch, start, stop, attempt, back) VALUES (?, ?, ?, ?, ?, ?);

-- name: all_given
SELECT user_endpoint, batch, start, stop, attempt, back FROM given ORDER BY number;

-- name: drop_given
DELETE FROM given WHERE batch = ?;

-- name: drop_old_given
DELETE FROM given WHERE batch NOT IN (SELECT number FROM batches WHERE finished IS NULL);

-- name: put_result_queue
INSERT INTO result_queues (task_group, owner, sent) VALUES (?, ?, ?) ON CONFLICT DO NOTHING;

-- name: all_result_queues
SELECT task_group, owner, sent FROM result_queues;

-- name: result_queue
SELECT owner, sent FROM result_queues WHERE task_group = ?;

-- name: result_queue_sent
UPDATE result_queues SET sent = max(sent, ?) WHERE task_group = ?;

-- name: drop_result_queue
DELETE FROM result_queues WHERE task_group = ?;

-- name: drop_old_result_queues
DELETE FROM result_queues WHERE task_group NOT IN (SELECT id FROM groups);

-- name: meta_value
SELECT value FROM meta WHERE key = ?;


-- name: add_container
INSERT INTO containers (id, owner, name, description, source, created) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING;

-- name: container_by_content
SELECT id FROM containers WHERE owner = ? AND source = ? AND name = ? AND description = ?;

-- name: all_containers
SELECT id, owner, name, description, source, created FROM containers;


-- name: add_account
INSERT INTO accounts (id, kind, name, secret, expires, created) VALUES (?, ?, ?, ?, ?, ?);

-- name: all_accounts
SELECT id, kind, name, secret, expires, created FROM accounts ORDER BY name;

-- name: drop_account
DELETE FROM accounts WHERE id = ?;

-- name: add_user_group
INSERT INTO user_groups (id, name, created) VALUES (?, ?, ?);

-- name: all_user_groups
SELECT id, name, created FROM user_groups ORDER BY name;

-- name: drop_user_group
DELETE FROM user_groups WHERE id = ?;

-- name: add_member
INSERT INTO members (user_group, account) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: all_members
SELECT user_group, account FROM members;

-- name: drop_member
DELETE FROM members WHERE user_group = ? AND account = ?;

-- name: drop_members_of
DELETE FROM members WHERE user_group = ?;

-- name: drop_memberships_of
DELETE FROM members WHERE account = ?;

-- name: add_token
INSERT INTO tokens (digest, id, account, created, expires) VALUES (?, ?, ?, ?, ?);

-- name: all_tokens
SELECT digest, id, account, created, expires FROM tokens ORDER BY created;

-- name: drop_token
DELETE FROM tokens WHERE digest = ?;

-- name: drop_tokens_of
DELETE FROM tokens WHERE account = ?;


-- name: add_endpoint_token
INSERT INTO endpoint_tokens (digest, endpoint, created) VALUES (?, ?, ?);

-- name: all_endpoint_tokens
SELECT digest, endpoint FROM endpoint_tokens ORDER BY created;

-- name: drop_endpoint_token
DELETE FROM endpoint_tokens WHERE digest = ?;

-- name: drop_endpoint_tokens
DELETE FROM endpoint_tokens WHERE endpoint = ?;
