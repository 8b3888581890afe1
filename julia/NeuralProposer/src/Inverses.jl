# Operators on rows of numbers, and their inverses: what an operand should be where the value should be something else.
#
# Owns `Opcode`, values (`compute!`) and wanted values (`pull!`). Does not own trees, nor what is done with what is
# wanted (Foresight.jl). The twin is pysr_neural/proposer/policy/native.py.

@enum Opcode::UInt8 UNKNOWN PLUS MINUS TIMES DIVIDE NEGATE INVERT SQUARE CUBE SQRT EXP LOG TANH SIN COS ABS
const OPCODES = Dict{Tuple{String,Int},Opcode}(
    ("+", 2) => PLUS, ("-", 2) => MINUS, ("*", 2) => TIMES, ("/", 2) => DIVIDE, ("neg", 1) => NEGATE,
    ("inv", 1) => INVERT, ("square", 1) => SQUARE, ("cube", 1) => CUBE, ("sqrt", 1) => SQRT, ("exp", 1) => EXP,
    ("log", 1) => LOG, ("tanh", 1) => TANH, ("sin", 1) => SIN, ("cos", 1) => COS, ("abs", 1) => ABS,
)

"""The next `n` numbers of `x` after `to`, from those after `a` and, of an operator of two operands, `b`."""
function compute!(x::Vector{Float64}, opcode::Opcode, to::Int, a::Int, b::Int, n::Int)
    opcode == PLUS && return each!(+, x, to, a, b, n)
    opcode == MINUS && return each!(-, x, to, a, b, n)
    opcode == TIMES && return each!(*, x, to, a, b, n)
    opcode == DIVIDE && return each!(/, x, to, a, b, n)
    opcode == EXP && return each!(exp, x, to, a, n)
    opcode == COS && return each!(v -> isfinite(v) ? cos(v) : NaN, x, to, a, n)
    opcode == SIN && return each!(v -> isfinite(v) ? sin(v) : NaN, x, to, a, n)
    opcode == LOG && return each!(v -> v > 0 ? log(v) : NaN, x, to, a, n)
    opcode == SQRT && return each!(v -> v >= 0 ? sqrt(v) : NaN, x, to, a, n)
    opcode == SQUARE && return each!(v -> v * v, x, to, a, n)
    opcode == CUBE && return each!(v -> v * v * v, x, to, a, n)
    opcode == INVERT && return each!(inv, x, to, a, n)
    opcode == NEGATE && return each!(-, x, to, a, n)
    opcode == TANH && return each!(tanh, x, to, a, n)
    opcode == ABS && return each!(abs, x, to, a, n)
    return each!(v -> NaN, x, to, a, n)
end

@inline function each!(f::F, x::Vector{Float64}, to::Int, a::Int, n::Int) where {F}
    @inbounds @simd ivdep for r in 1:n
        x[to + r] = f(x[a + r])
    end
end

@inline function each!(f::F, x::Vector{Float64}, to::Int, a::Int, b::Int, n::Int) where {F}
    @inbounds @simd ivdep for r in 1:n
        x[to + r] = f(x[a + r], x[b + r])
    end
end

"""
From what a node should be (`aims`, and the `slopes` of the way up) to what its first or second operand should be, in
place; the other operand's values are those of `x` after `other`. Only the slopes' squares count.
"""
function pull_two!(aims, slopes, x::Vector{Float64}, opcode::Opcode, first::Bool, other::Int)
    opcode == PLUS && return pull!((aim, slope, o) -> (aim - o, slope), aims, slopes, x, other)
    opcode == TIMES && return pull!((aim, slope, o) -> (aim / o, slope * o), aims, slopes, x, other)
    if opcode == MINUS
        first && return pull!((aim, slope, o) -> (aim + o, slope), aims, slopes, x, other)
        return pull!((aim, slope, o) -> (o - aim, slope), aims, slopes, x, other)
    end
    first && return pull!((aim, slope, o) -> (aim * o, slope / o), aims, slopes, x, other)
    return pull!((aim, slope, o) -> (o / aim, slope * aim * aim / o), aims, slopes, x, other)
end

@inline function pull!(f::F, aims, slopes, x::Vector{Float64}, at::Int) where {F}
    @inbounds @simd ivdep for r in eachindex(aims)
        aims[r], slopes[r] = f(aims[r], slopes[r], x[at + r])
    end
end

"""The same of an operator of one operand; its values are those of `x` after `whole`, the operand's those after `own`."""
function pull_one!(aims, slopes, x::Vector{Float64}, opcode::Opcode, whole::Int, own::Int)
    opcode == EXP && return undo!((aim, v, w) -> aim > 0 ? (log(aim), aim) : (NaN, NaN), aims, slopes, x, whole, own)
    opcode == COS && return undo!(uncos, aims, slopes, x, whole, own)
    opcode == SIN && return undo!(unsin, aims, slopes, x, whole, own)
    opcode == LOG && return undo!((aim, v, w) -> (exp(aim), exp(-aim)), aims, slopes, x, whole, own)
    opcode == SQRT && return undo!((aim, v, w) -> aim >= 0 ? (aim * aim, 0.5 / aim) : (NaN, NaN), aims, slopes, x, whole, own)
    opcode == SQUARE && return undo!(unsquare, aims, slopes, x, whole, own)
    opcode == CUBE && return undo!((aim, v, w) -> (cbrt(aim), 3abs2(cbrt(aim))), aims, slopes, x, whole, own)
    opcode == INVERT && return undo!((aim, v, w) -> (1 / aim, aim * aim), aims, slopes, x, whole, own)
    opcode == NEGATE && return undo!((aim, v, w) -> (-aim, 1.0), aims, slopes, x, whole, own)
    opcode == ABS && return undo!((aim, v, w) -> (copysign(aim, v), 1.0), aims, slopes, x, whole, own)
    return undo!((aim, v, w) -> abs(aim) < 1 ? (atanh(aim), 1 - aim * aim) : (NaN, NaN), aims, slopes, x, whole, own)
end

@inline function undo!(f::F, aims, slopes, x::Vector{Float64}, whole::Int, own::Int) where {F}
    @inbounds for r in eachindex(aims)
        aims[r], slope = f(aims[r], x[own + r], x[whole + r])
        slopes[r] *= slope
    end
end

unsquare(aim, v, _) = aim >= 0 ? (copysign(sqrt(aim), v), 2sqrt(aim)) : (NaN, NaN)
"""Waves have no inverse: linear about the value `w` of `v`."""
unsin(aim, v, w) = isfinite(v) ? linear(aim, v, w, cos(v)) : (NaN, NaN)
uncos(aim, v, w) = isfinite(v) ? linear(aim, v, w, -sin(v)) : (NaN, NaN)
@inline linear(aim, v, w, slope) = (v + (aim - w) / slope, slope)
