"""Typical wrong answers to the exercises of chapter 02, each in another exercise, and what they
must cost.
"""

WRONG = {
    "batch-loss": (
        "only copies of the pair's own item are masked, as the library does it; the rest of a user's visit stays a negative",
        """def batch_loss(users, items, log_q, ids, owners, temperature):
    logits = users @ items.T / temperature - log_q
    copies = (ids[:, None] == ids[None, :]) & ~torch.eye(len(ids), dtype=torch.bool)
    logits = logits.masked_fill(copies, float("-inf"))
    return -logits.log_softmax(dim=1).diag().mean()
""",
        ["batch-loss-check", "batch-loss-hidden"],
    ),
    "pool": (
        "whoever has bought nothing gets zeros instead of the default row",
        """def pool(table, history):
    filled = (history > 0).float()
    summed = (table[history] * filled[:, :, None]).sum(1)
    return summed / filled.sum(1).clamp(min=1).sqrt()[:, None]
""",
        ["pool-check", "pool-hidden"],
    ),
    "surprise": (
        "an indexed += counts an item once a day, however often it was bought",
        """prediction = 30


def surprise(day, items, m, half_life):
    counts, last, losses = np.zeros(m), day[0], []
    for today in np.unique(day):
        counts = counts * 0.5 ** ((today - last) / half_life)
        bought = items[day == today]
        losses.extend(-np.log((counts[bought] + 1 / m) / (counts.sum() + 1)))
        counts[bought] += 1
        last = today
    return np.mean(losses)
""",
        ["surprise-check", "surprise-hidden"],
    ),
}
