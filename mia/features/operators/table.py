"""All operators by name. The plan compiles names into opcodes with it; importing it imports numba."""

from functools import cache

from mia.domain.errors import ConfigurationError
from mia.features.operators.context_dispatch import CONTEXT_OPERATORS
from mia.features.operators.flow_dispatch import FLOW_OPERATORS
from mia.features.operators.price_dispatch import PRICE_OPERATORS
from mia.features.operators.registry import CONTEXT_OPCODES, FLOW_OPCODES, PRICE_OPCODES, Operator


@cache
def operators() -> dict[str, Operator]:
    """All operators by name; a name or opcode used twice is refused."""
    table: dict[str, Operator] = {}
    opcodes: set[int] = set()
    rooms = (
        (PRICE_OPCODES, PRICE_OPERATORS),
        (FLOW_OPCODES, FLOW_OPERATORS),
        (CONTEXT_OPCODES, CONTEXT_OPERATORS),
    )
    for allowed, members in rooms:
        for operator in members:
            if operator.name in table or operator.opcode in opcodes or operator.opcode not in allowed:
                raise ConfigurationError(
                    f"operator {operator.name}: name or opcode {operator.opcode} is taken or out of range; renumber it"
                )
            table[operator.name] = operator
            opcodes.add(operator.opcode)
    return table
