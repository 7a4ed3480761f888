"""Bare addresses of float64 and int64 arrays for the compiled walk: a call passes one register for each of them,
where an array is seven numbers and a reference to count. Nothing checks an index; the plan fixes them all.
"""

from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic


@intrinsic
def address(_typing, array):
    """First element of a contiguous 1-d array, as something that can be indexed. The caller keeps the array alive."""
    if not (isinstance(array, types.Array) and array.ndim == 1 and array.layout == "C"):
        return None

    def build(context, builder, signature, args):
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), build


@intrinsic
def later(_typing, pointer, count):
    """The address `count` elements on."""
    if not (isinstance(pointer, types.CPointer) and isinstance(count, types.Integer)):
        return None

    def build(_context, builder, _signature, args):
        return cgutils.gep_inbounds(builder, args[0], args[1])

    return pointer(pointer, count), build
