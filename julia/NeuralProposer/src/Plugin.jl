# The plugin: what the user configures, as plain data.
#
# Owns levels, kind names and the settings. PySR serialises options on every fit and ships them to worker processes, so
# nothing live may sit here; live things are in the process-global registry (Searches.jl).

"""The proposer's levels in wire order; bit i - 1 of a level mask stands for `LEVELS[i]`."""
const LEVELS = (:seed, :kind, :parents, :child, :crossover, :refresh, :prior, :foresight)

"""Variation kinds in wire order."""
const KINDS = (
    :constant, :operator, :feature, :swap, :rotate, :add, :insert, :delete, :simplify, :randomize, :do_nothing,
    :optimize, :crossover, :neural,
)

const Levels = UInt32

function level_mask(names)
    mask = Levels(0)
    for name in names
        at = findfirst(==(Symbol(string(name))), LEVELS)
        isnothing(at) &&
            throw(ArgumentError("A level must be one of $(join(LEVELS, ", ")); got $(repr(string(name)))."))
        mask |= Levels(1) << (at - 1)
    end
    return mask
end

@inline level_bit(name::Symbol) = Levels(1) << (findfirst(==(name), LEVELS)::Int - 1)
const SEED, KIND, PARENTS, CHILD, CROSSOVER, REFRESH, PRIOR, FORESIGHT = level_bit.(LEVELS)
@inline has(mask::Levels, level::Levels) = mask & level != 0
level_names(mask::Levels) = String[String(name) for name in LEVELS if has(mask, level_bit(name))]

"""
    NeuralProposerPlugin(; address, token, levels, kwargs...)

Ask a proposer server during a search.

# Keywords

- `address`: `"unix:/path"` or `"tcp:host:port"` of the server; empty: no server, every step falls back.
- `token`: what the server wants to hear first.
- `levels`: names out of [`LEVELS`](@ref); empty records only and changes nothing.
- `max_overhead`: what the proposer may cost, as a share of search time; three quarters of it are for the model. With
  "auto", half of the time while proposals may pay, then a tenth.
- `batch_size`: children per request.
- `temperature`: of sampling, above 0.
- `seed`: of the requests.
- `weight`: share of mutations that take a proposed child while some are in stock.
- `prior_share`: share of add, insert, operator, feature and randomize mutations that sample from the predicted prior.
- `foresight_share`: share of mutations that look ahead themselves (Changes.jl), without the server.
- `foresight_places`: new places of a tree that such a step looks at each time; its price grows with them.
- `foresight`: weights of the network that chooses among the changes looked at; empty: all are equally likely.
- `crossover_weight`: weight of the neural crossover beside the subtree crossover's 1.
- `seed_count`, `seed_share`, `seed_timeout`: children asked for before the search, largest share of initial members
  made of them, seconds to wait for them.
- `refine`: share of proposed children whose constants are optimised before they are judged.
- `interval`: cycles between two looks at the stock.
- `request_timeout`: seconds after which an answer is given up.
- `synchronous`: wait for every answer inside the search; with serial parallelism and `deterministic=true` this makes a
  neural search reproducible. The time budget is then counted in cycles per request.
- `session`: names all searches of one fit in [`report`](@ref); made up if empty.
- `trace`: directory to which recorded populations are written; empty: none.
- `trace_rate`: share of populations recorded; the first one always is.
- `cores`: that this process and the server may use; 0: all of the machine.
- `verbose`: warn once when the server fails, and of what the engine or the search cannot use; the report tells it anyway.

The type says whether the level `parents` is on: the engine asks for a member's weight 15 times per tournament, and a
plugin that has no answer should not be asked at all.
"""
struct NeuralProposerPlugin{ChoosesParents} <: AbstractPlugin
    address::String
    token::String
    levels::Levels
    max_overhead::Float64
    batch_size::Int
    temperature::Float64
    seed::Int64
    weight::Float64
    prior_share::Float64
    foresight_share::Float64
    foresight_places::Int
    foresight::Vector{Float64}
    crossover_weight::Float64
    seed_count::Int
    seed_share::Float64
    seed_timeout::Float64
    refine::Float64
    interval::Int
    request_timeout::Float64
    synchronous::Bool
    session::String
    trace::String
    trace_rate::Float64
    cores::Int
    verbose::Bool
end

function NeuralProposerPlugin(;
    address::AbstractString="",
    token::AbstractString="",
    levels=String["seed", "refresh"],
    max_overhead::Union{Real,AbstractString}=AUTO,
    batch_size::Integer=64,
    temperature::Real=1.0,
    seed::Integer=0,
    weight::Real=0.1,
    prior_share::Real=0.5,
    foresight_share::Real=FORESIGHT_SHARE,
    foresight_places::Integer=FORESEEN_PLACES,
    foresight::AbstractVector{<:Real}=Float64[],
    crossover_weight::Real=0.25,
    seed_count::Integer=64,
    seed_share::Real=0.1,
    seed_timeout::Real=3.0,
    refine::Real=0.5,
    interval::Integer=20,
    request_timeout::Real=30.0,
    synchronous::Bool=false,
    session::AbstractString="",
    trace::AbstractString="",
    trace_rate::Real=0.05,
    cores::Integer=0,
    verbose::Bool=true,
)
    check_setting(max_overhead == AUTO || (max_overhead isa Real && max_overhead > 0), "max_overhead", "above 0, or \"auto\"", max_overhead)
    check_setting(1 <= batch_size <= 4096, "batch_size", "in 1:4096", batch_size)
    check_setting(temperature > 0 && isfinite(temperature), "temperature", "finite and above 0", temperature)
    check_setting(0 < weight < 1, "weight", "between 0 and 1", weight)
    check_setting(0 <= prior_share <= 1, "prior_share", "in 0..1", prior_share)
    check_setting(0 < foresight_share < 1, "foresight_share", "between 0 and 1", foresight_share)
    check_setting(1 <= foresight_places <= KEPT_PLACES, "foresight_places", "in 1:$KEPT_PLACES", foresight_places)
    check_setting(
        length(foresight) in (0, FORESIGHT_WEIGHTS) && all(isfinite, foresight), "foresight",
        "nothing or $FORESIGHT_WEIGHTS finite weights", "$(length(foresight)) numbers",
    )
    check_setting(crossover_weight >= 0, "crossover_weight", "at least 0", crossover_weight)
    check_setting(1 <= seed_count <= 4096, "seed_count", "in 1:4096", seed_count)
    check_setting(0 <= seed_share < 1, "seed_share", "at least 0 and below 1", seed_share)
    check_setting(0 <= refine <= 1, "refine", "in 0..1", refine)
    check_setting(interval >= 1, "interval", "at least 1", interval)
    check_setting(0 <= trace_rate <= 1, "trace_rate", "in 0..1", trace_rate)
    check_setting(request_timeout > 0, "request_timeout", "above 0", request_timeout)
    check_address(address)
    mask = without_missing_hooks(level_mask(levels), verbose)
    return NeuralProposerPlugin{has(mask, PARENTS)}(
        address, token, mask, max_overhead == AUTO ? NaN : max_overhead, batch_size, temperature, seed, weight,
        prior_share, foresight_share, foresight_places, Vector{Float64}(foresight), crossover_weight, seed_count, seed_share, seed_timeout, refine, interval,
        request_timeout, synchronous, isempty(session) ? fresh_session() : session, trace, trace_rate, cores,
        verbose,
    )
end

is_auto(plugin::NeuralProposerPlugin) = isnan(plugin.max_overhead)
const AUTO = "auto"
const FORESIGHT_SHARE = 0.1

function check_setting(holds::Bool, name::String, must::String, got)
    return holds || throw(ArgumentError("$name must be $must; got $got."))
end

function check_address(address::AbstractString)
    isempty(address) || startswith(address, r"unix:.|tcp:.+:\d+") ||
        throw(ArgumentError("An address must read unix:/path or tcp:host:port; got $(repr(address))."))
    return nothing
end

const SESSIONS = Threads.Atomic{Int}(0)

"""A name that no other session on this machine has, made without drawing from a random number generator."""
fresh_session() = string(getpid(), "-", Threads.atomic_add!(SESSIONS, 1), "-", string(time_ns(); base=36))
