"""Typical wrong answers to the exercises of chapter 04, each in another exercise, and what they
must cost.
"""

WRONG = {
    "epoch": (
        "cuts batches of the full size, and leaves a last one of what is over",
        """def epoch(n, batch_size, generator):
    return list(torch.randperm(n, generator=generator).split(batch_size))
""",
        ["epoch-check", "epoch-hidden"],
    ),
    "grow": (
        "gives the missing value a row of its own",
        """def grow(vocabulary, table, values, generator):
    vocabulary = dict(vocabulary)
    for value in values:
        vocabulary.setdefault(value, len(vocabulary) + 1)
    new = torch.randn(len(vocabulary) + 1 - len(table), table.shape[1], generator=generator) * 0.05
    return vocabulary, torch.cat([table, new])
""",
        ["grow-check", "grow-hidden"],
    ),
    "publish": (
        "writes the pointer where readers look, so that they find half of it",
        """def publish(disk, version, files):
    last = disk.files.get("current", b"").decode()
    for name, data in files.items():
        disk.write(f"{version}/{name}", data)
    disk.write("current", version.encode())
    for path in disk.files:
        if path != "current" and path.split("/")[0] not in (last, version):
            disk.delete(path)
""",
        ["publish-check", "publish-hidden"],
    ),
}
