"""What a variant's budget is: the number that varies within its family, or the sum of those that do."""

import re


def parameters_of(resolved):
    """{name: text} of the parameters in "rank=64,keys=8"'s parentheses. Of a mixture or a variant made
    of others nothing: which of its members' numbers would be the budget?"""
    match = re.fullmatch(r"\w+\((.*)\)", resolved)
    if not match or "(" in match[1]:
        return {}
    return dict(part.split("=", 1) for part in match[1].split(",") if "=" in part)


def number(text):
    """The number that the text is, or nothing."""
    try:
        return float(text)
    except ValueError:
        return None


def is_part_of(few, many):
    return few != many and all(many.get(name) == value for name, value in few.items()
                               if number(value) is None) and set(few) <= set(many)


def completed(families, parameters):
    """What was refused has the parameters as written, the others' defaults unsaid: where they can only
    be those of one choice, that choice's."""
    groups = {}
    for family, of_one in zip(families, parameters):
        key = (family, *sorted((k, "" if number(v) is not None else v) for k, v in of_one.items()))
        groups.setdefault(key, (family, of_one))
    whole = []
    for family, few in zip(families, parameters):
        wider = [many for its_family, many in groups.values() if its_family == family and few
                 and is_part_of(few, many)]
        largest = max(map(len, wider), default=0)
        wider = [many for many in wider if len(many) == largest]
        whole.append(wider[0] | few if len(wider) == 1 else few)
    return whole


def families_of(members):
    """For each (family, resolved) of `members` its label and its budget, None where no number varies
    in its family. Choices of a family, which are no numbers, are families of their own: their label
    names those that differ."""
    parameters = completed([family for family, _ in members],
                           [parameters_of(resolved) for _, resolved in members])
    groups = {}
    for i, (family, _) in enumerate(members):
        choices = tuple((k, v) for k, v in parameters[i].items() if number(v) is None)
        groups.setdefault((family, choices, tuple(parameters[i])), []).append(i)
    labelled = [None] * len(members)
    for (family, choices, _), group in groups.items():
        others = [of_others for its_family, of_others, named in groups
                  if its_family == family and named]
        words = [family] + [value for name, value in choices
                            if any(dict(other).get(name) != value for other in others)]
        names = [name for name, value in parameters[group[0]].items() if number(value) is not None
                 and len({parameters[i][name] for i in group}) > 1]
        label = " ".join(words) + (f" ({' + '.join(names)})" if names else "")
        for i in group:
            budget = sum(number(parameters[i][name]) for name in names) if names else None
            labelled[i] = (label, budget)
    return labelled
