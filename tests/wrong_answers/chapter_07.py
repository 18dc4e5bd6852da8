"""Typical wrong answers to the exercises of chapter 07, each in another exercise, and what they
must cost.
"""

WRONG = {
    "item-losses": (
        "the softmax goes along the rows only, as Yao et al. have it",
        """def item_losses(first, second, temperature):
    first = first / first.norm(dim=1, keepdim=True)
    second = second / second.norm(dim=1, keepdim=True)
    logits = first @ second.T / temperature
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(logits)), reduction="none")
""",
        ["item-losses-check", "item-losses-hidden"],
    ),
    "joint-loss": (
        "the positive is counted once and both means are taken, but a copy of the item is still its negative",
        """def joint_loss(main, cosines, ids, temperature, alpha):
    target = torch.arange(len(cosines))
    logits = cosines / temperature
    one_way = torch.nn.functional.cross_entropy(logits, target)
    other_way = torch.nn.functional.cross_entropy(logits.T, target)
    return main.mean() + alpha * (one_way + other_way) / 2
""",
        ["joint-loss-check", "joint-loss-hidden"],
    ),
    "draw": (
        "0 to the power 0 is 1, so that a uniform draw holds items without an ID",
        """prediction = 0.1


def draw(times_bought, m, power, rng):
    weight = times_bought.astype(float) ** power
    m = min(m, int((times_bought > 0).sum()))
    return rng.choice(len(times_bought), m, replace=False, p=weight / weight.sum())
""",
        ["draw-check", "draw-hidden"],
    ),
}
