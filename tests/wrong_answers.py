"""Typical wrong answers, three of each chapter; its docstring says what is wrong with each.

After them come answers, `EXERCISE__WHAT`, that once got full marks.
"""

import numpy as np
import pandas as pd
import torch
from scipy import stats

from course_lib.evaluation import paired_difference
from course_lib.full_update import full_update
from course_lib.incremental_update import incremental_update
from course_lib.log import DAY
from course_lib.mutual_information import mutual_information, shuffled_columns
from course_lib.results import against, against_by_day


def head_share(counts, share):
    """The head of a short list is empty: right on the visible example, wrong on a hidden one."""
    ranked = sorted(counts, reverse=True)
    return sum(ranked[: int(len(ranked) * share)]) / sum(ranked)


def encode(values, known):
    """The default is kept free, but the values are still in the order of the alphabet."""
    ordered = sorted({value for value in known if value is not None})
    return [ordered.index(value) + 1 if value in ordered else 0 for value in values]


def newcomer_share(events, column, start, days):
    """The first event is looked for among the late events only."""
    events = events[events["time"] >= start]
    first = events.groupby(column)["time"].transform("min")
    return (events["time"] - first < pd.Timedelta(days=days)).mean()


def batch_loss(users, items, log_q, ids, owners, temperature):
    """Only copies of the pair's own item are masked; the rest of a visit stays a negative."""
    logits = users @ items.T / temperature - log_q
    copies = (ids[:, None] == ids[None, :]) & ~torch.eye(len(ids), dtype=torch.bool)
    logits = logits.masked_fill(copies, float("-inf"))
    return -logits.log_softmax(dim=1).diag().mean()


def tower(features, tables, shortcut, network):
    """An empty bag gives zeros instead of the default row."""
    x = 0
    for field, indices in features.items():
        rows = tables[field][indices]
        if indices.dim() == 2:
            filled = (indices > 0).unsqueeze(2)
            rows = (rows * filled).sum(1) / filled.sum(1).clamp(min=1).sqrt()
        x = x + rows
    return torch.nn.functional.normalize(shortcut(x) + network(x), dim=1)


def surprise(day, items, m, half_life):
    """An indexed += counts an item once a day, however often it was bought."""
    counts, last, losses = np.zeros(m), day[0], []
    for today in np.unique(day):
        counts = counts * 0.5 ** ((today - last) / half_life)
        bought = items[day == today]
        losses.extend(-np.log((counts[bought] + 1 / m) / (counts.sum() + 1)))
        counts[bought] += 1
        last = today
    return np.mean(losses)


def best(query, vectors, ids, bought, k):
    """What was bought gets a score of 0, which is more than items have that point away."""
    scores = vectors @ query
    scores[np.isin(ids, bought)] = 0
    return ids[np.argsort(scores)[::-1][:k]]


def pq_search(query, codebooks, codes, vectors, candidates, k):
    """Ranks k by code, and never looks at the other candidates."""
    parts = query.reshape(len(codebooks), -1)
    products = np.einsum("pd,ped->pe", parts, codebooks)
    by_code = products[np.arange(len(codebooks)), codes].sum(1)
    few = np.argsort(-by_code)[:k]
    return few[np.argsort(-(vectors[few] @ query))]


def choose_ef(search, tuning, test, floor, values):
    """A mean above the floor is taken for a promise, without any interval."""

    def recall(sample, ef):
        queries, exact = sample
        return np.mean(
            [
                np.isin(right, found).mean()
                for right, found in zip(exact, search(queries, ef), strict=True)
            ]
        )

    for ef in values:
        if recall(tuning, ef) > floor:
            return ef, recall(test, ef)
    raise ValueError("no value is good enough")


def epoch(n, batch_size, generator):
    """Cuts batches of the full size, and leaves a last one of what is over."""
    return list(torch.randperm(n, generator=generator).split(batch_size))


def grow(vocabulary, table, values, generator):
    """Gives the missing value a row of its own."""
    vocabulary = dict(vocabulary)
    for value in values:
        vocabulary.setdefault(value, len(vocabulary) + 1)
    new = torch.randn(len(vocabulary) + 1 - len(table), table.shape[1], generator=generator) * 0.05
    return vocabulary, torch.cat([table, new])


def publish(disk, version, files):
    """Writes the pointer where readers look, so that they find half of it."""
    last = disk.files.get("current", b"").decode()
    for name, data in files.items():
        disk.write(f"{version}/{name}", data)
    disk.write("current", version.encode())
    for path in disk.files:
        if path != "current" and path.split("/")[0] not in (last, version):
            disk.delete(path)


def look_up(base, ids, own, asked):
    """Takes the row where the ID would stand, and never asks whether it is there."""
    rows = base[asked.masked_fill(asked >= len(base), 0)]
    if len(ids):
        place = torch.searchsorted(ids, asked)
        found = place < len(ids)
        rows[found] = own[place[found]]
    return rows


def adagrad_step(table, squares, rows, gradients, rate):
    """An indexed assignment, which counts a row that comes twice once."""
    table, squares = table.clone(), squares.clone()
    squares[rows] += gradients.square().mean(1)
    table[rows] -= rate * gradients / (squares[rows].sqrt() + 1e-8)[:, None]
    return table, squares


def a_day(state, log, day, send):
    """Mends the loop, and still hands the hours' state to the next morning."""
    for hour in log.events["time"][log.rows(day, day + DAY)].dt.floor("h").unique():
        state, touched = incremental_update(state, log, hour)
        send(touched.items, state.item_vectors(log, touched.items, hour))
    night = full_update(state.full, log, day)
    assert night.full is None
    return state


def conflict(gradients, hours):
    """Compares the hour with the whole day, itself included."""
    day = gradients.mean(0)
    cosines = {}
    for hour in np.unique(hours):
        own = gradients[hours == hour].mean(0)
        cosines[hour] = own @ day / (np.linalg.norm(own) * np.linalg.norm(day))
    return pd.Series(cosines)


def seeds_needed(pilot, half_width):
    """Takes the normal distribution's quantile for a handful of seeds."""
    return max(2, int(np.ceil((1.96 * np.std(pilot, ddof=1) / half_width) ** 2)))


def cheapest(table, costs, reference, tolerance):
    """Takes an interval that includes zero for a proof that nothing is lost."""
    seeds = table.pivot_table("R@100", "seed", "arm")
    for arm in sorted(costs, key=costs.get):
        difference = paired_difference(seeds[arm], seeds[reference])
        if difference.high >= 0 or difference.low >= -tolerance:
            return arm


def item_losses(first, second, temperature):
    """The softmax goes along the rows only, as Yao et al. have it."""
    first = first / first.norm(dim=1, keepdim=True)
    second = second / second.norm(dim=1, keepdim=True)
    logits = first @ second.T / temperature
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(logits)), reduction="none")


def joint_loss(main, cosines, ids, temperature, alpha):
    """The positive is counted once, of both means, but a copy is still a negative."""
    target = torch.arange(len(cosines))
    logits = cosines / temperature
    one_way = torch.nn.functional.cross_entropy(logits, target)
    other_way = torch.nn.functional.cross_entropy(logits.T, target)
    return main.mean() + alpha * (one_way + other_way) / 2


def draw(times_bought, m, power, rng):
    """0 to the power 0 is 1, so that a uniform draw holds items without an ID."""
    weight = times_bought.astype(float) ** power
    m = min(m, int((times_bought > 0).sum()))
    return rng.choice(len(times_bought), m, replace=False, p=weight / weight.sum())


def share_chance(filled, p):
    """Adds up chances of fields that may both be shared."""
    return min(1, filled * (1 - p) ** 2)


def random_mask(features, p, generator):
    """Throws one coin for an item and not one for each of its fields."""

    def view():
        keep = torch.rand(len(next(iter(features.values()))), generator=generator) >= p
        return {n: v * (keep if v.dim() == 1 else keep[:, None]) for n, v in features.items()}

    return view(), view()


def never_empty(features, p, generator):
    """Uncovers the first field where nothing is shown, instead of throwing all coins again."""
    view = {}
    for name, values in features.items():
        keep = torch.rand(len(values), generator=generator) >= p
        view[name] = values * (keep if values.dim() == 1 else keep[:, None])
    name = next(iter(features))
    empty = ~torch.stack([v.view(len(v), -1).any(1) for v in view.values()]).any(0)
    view[name][empty] = features[name][empty]
    return view


def as_bag(items, fields, name):
    """A missing value becomes a trait of its own, colour=nan."""

    def bag(row):
        found = []
        for field in fields:
            values = row[field] if isinstance(row[field], list) else [row[field]]
            found += [f"{field}={value}" for value in values]
        return found

    bags = [bag(row) for _, row in items.iterrows()]
    return items.drop(columns=fields).assign(**{name: bags})


def half(bag, generator):
    """Half of the places are left, empty ones included, and not half of the values."""
    rank = torch.rand(bag.shape, generator=generator).argsort(dim=1).argsort(dim=1)
    return bag * (rank < (bag.shape[1] + 1) // 2)


def flat(bag):
    """Every row stays, but an empty one gets zeros and not the default."""
    filled = bag > 0
    sizes = filled.sum(1)
    return bag[filled], sizes.cumsum(0) - sizes


def split_names(names, order):
    """Rounds half of an odd number of fields up."""
    drawn = [names[place] for place in order]
    half = (len(names) + 1) // 2
    return drawn[:half], drawn[half:]


def two_views(features, shown):
    """Leaves bags in both views, where they can be copied."""
    first, second = dict(features), dict(features)
    for name, values in features.items():
        if values.dim() == 1:
            (second if name in shown else first)[name] = torch.zeros_like(values)
    return first, second


def match_by_pattern(first, second):
    """Gives a first view without a complement index 0."""
    return (first[:, None] != second[None]).all(2).int().argmax(1)


def information(counts):
    """Measures in bits, by the logarithm to the base 2."""
    p = counts / counts.sum()
    independent = np.outer(p.sum(1), p.sum(0))
    there = p > 0
    return (p[there] * np.log2(p[there] / independent[there])).sum()


def masked(mi, seed):
    """Takes the first of the seed's row for the seed itself, which it is with plain MI only."""
    k = len(mi)
    ranked = mi.loc[seed].sort_values(ascending=False, kind="stable").index
    return [seed, *ranked[1 : 1 + min(k // 2, k - 2)]]


def related(log, day):
    """Mends the units and the diagonal, and leaves the items of the future in the first measure."""
    mi = mutual_information(log.items)
    known = log.items.iloc[: log.listed(day)]
    less = mi - mutual_information(shuffled_columns(known))
    return less.mask(np.eye(len(less), dtype=bool))


def within(scores, slices, candidates, bought):
    """Leaves the item itself among those that it is compared with, where it ties."""
    others = candidates & (slices == slices[bought])
    return np.mean((scores[others] < scores[bought]) + (scores[others] == scores[bought]) / 2)


def protocol(tuning, test, kinds):
    """Lets who tried more choose among more."""
    validation = tuning.groupby("arm")["validation"].mean()
    chosen = {kind: validation[arms].idxmax() for kind, arms in kinds.items()}
    return {kind: (arm, against(test, arm, "plain")) for kind, arm in chosen.items()}


def clear_by_chance(arms, seeds, draws, rng):
    """Takes the quantile of the normal distribution, as if five seeds were many."""
    results = rng.normal(size=(draws, 1 + arms, seeds))
    differences = results[:, 1:] - results[:, :1]
    half = 1.96 * stats.sem(differences, axis=2)
    return (np.abs(differences.mean(2)) > half).sum(1)


def merge_channels(lists, quotas):
    """Sets the channels' parts one behind the other, and leaves empty places empty."""
    merged = []
    for name, items in lists.items():
        merged += [item for item in items if item not in merged][: quotas[name]]
    return merged


def steps(day, learned, landed, now):
    """Takes what comes before the last learned hour for learned, so that late hours are lost."""
    found, last = [], max(learned, default=pd.Timestamp.min)
    for hour in sorted(set(landed)):
        if last < hour <= now:
            while day < hour.normalize():
                found, day = [*found, ("night", day)], day + DAY
            found.append(("learn", hour))
    while day < now.normalize():
        found, day = [*found, ("night", day)], day + DAY
    return found


class Service:
    """Network and vectors are switched in two steps, so a question between them meets a mixture."""

    def __init__(self):
        self.network, self.vectors = None, None

    def publish(self, network, compute):
        vectors = compute(network)
        self.network, self.vectors = network, vectors

    def answer(self, user, k):
        network, vectors = self.network, self.vectors
        if vectors is None:
            raise ValueError("publish first")
        return np.argsort(-(vectors @ network(user)))[:k]


def my_share(n, steps, rank, world, seed):
    """Gives each rank an order of its own, so that events are learned twice or never."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed + rank))
    return list(order.tensor_split(steps * world)[rank::world])


def rank_gradient(rank, users, items, weight):
    """Begins with column 0 on every rank, as if all users had bought rank 0's items."""
    every, own = torch.cat(list(items)), torch.arange(len(users))
    slope = (users @ weight @ every.T).softmax(1)
    slope[own, own] -= 1
    return users.T @ slope @ every * len(items) / len(every)


def follow(store, shards):
    """Commits the counts and then the offset, so that a kill between them doubles an hour."""
    counts, last = store.read("counts", {}), store.read("last", 0)
    for offset, items in shards:
        if offset > last:
            for item in items:
                counts[item] = counts.get(item, 0) + 1
            last = offset
            store.write("counts", counts)
            store.write("last", last)
    return counts


def first_events(events):
    """Keeps the first row of each pair in the file, and sorts what is left."""
    once = events.drop_duplicates(["user", "item"])
    return once.sort_values("time", kind="stable").reset_index(drop=True)


def inner_separator(texts, candidates, share):
    """Counts texts that are alike as often as they come, so one text many times looks like lists."""
    for candidate in candidates:
        having = [text for text in texts if candidate in text]
        parts = {part.strip() for text in having for part in text.split(candidate)} - {""}
        if having and len(having) >= share * len(texts) and len(parts) < len(having):
            return candidate
    return ""


def carried(tables, one, other):
    """Asks the means for their signs, where an interval may hold zero."""
    found = {log: against_by_day(table, one, other) for log, table in tables.items()}
    first, second = (np.sign(difference.mean) for difference in found.values())
    return "carried over" if first == second else "reversed", found


def newcomer_share__after(events, column, start, days):
    """An event at `start` itself is not counted."""
    new = events["time"] - events.groupby(column)["time"].transform("min") < pd.Timedelta(days=days)
    return new[events["time"] > start].mean()


def cosines__clamped(users, items):
    """Lengths below one half are taken for one half."""
    users, items = (rows / rows.norm(dim=1).clamp(min=0.5)[:, None] for rows in (users, items))
    return users @ items.T


def id_gradients__added(loss, tables, named):
    """Adds the gradient to what a table's `.grad` holds already, and clears that."""
    torch.autograd.backward(loss(), inputs=tables)
    found = []
    for table, ids in zip(tables, named, strict=True):
        found.append(torch.zeros_like(table))
        found[-1][ids], table.grad = table.grad[ids], None
    return found


def take_in__same_moment(known, shard, now):
    """Lifts what is earlier than the last known event, and not what is of the same moment."""
    if (shard["time"] > now).any():
        raise ValueError("an event is yet to come")
    last, new = known["time"].iloc[-1], shard.sort_values("time", kind="stable")
    moment = last + pd.Timedelta(microseconds=1)
    new = new.assign(time=new["time"].where(new["time"] >= last, moment))
    every = pd.concat([known, new])
    return every.drop_duplicates(["user", "item"], ignore_index=True)


def take_in__now(known, shard, now):
    """Refuses an event of this very moment."""
    if (shard["time"] >= now).any():
        raise ValueError("an event is yet to come")
    new = shard.sort_values("time", kind="stable")
    moment = known["time"].iloc[-1] + pd.Timedelta(microseconds=1)
    every = pd.concat([known, new.assign(time=new["time"].clip(lower=moment))])
    return every.drop_duplicates(["user", "item"], ignore_index=True)


def random_mask__seeded(features, p, generator):
    """Draws by a generator of its own, the same in each call."""
    generator, views = torch.Generator().manual_seed(0), ({}, {})
    for view in views:
        for name, values in features.items():
            keep = torch.rand(len(values), generator=generator) >= p
            view[name] = values * (keep if values.dim() == 1 else keep[:, None])
    return views


def never_empty__seeded(features, p, generator):
    """Draws by a generator of its own, the same in each call."""
    if not 0 <= p < 1:
        raise ValueError("p is from 0 to below 1")
    generator = torch.Generator().manual_seed(0)
    view, left = {name: 0 * values for name, values in features.items()}, True
    while left is True or left.any():
        for name, values in features.items():
            rows = (torch.rand(len(values), generator=generator) >= p) & left
            view[name][rows] = values[rows]
        there, shown = (
            torch.stack([values.view(len(values), -1).any(1) for values in part.values()]).any(0)
            for part in (features, view)
        )
        left = there & ~shown
    return view


def paired__all_arms(table, arm, other, column):
    """Leaves a seed out that any arm of the table lacks."""
    seeds = table.pivot_table(column, "seed", "arm").dropna()
    return paired_difference(seeds[arm], seeds[other])[:3]
