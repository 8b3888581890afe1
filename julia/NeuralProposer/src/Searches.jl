# One search (one output of one fit) in this process, and the process-global registry.
#
# Owns `Search`: stocks, guidance, lineage, tallies, the OPEN frame. A search lives in the registry under its id; worker
# processes make their own entry the first time a hook runs there.

mutable struct Search
    const id::Int64
    const plugin::NeuralProposerPlugin
    const table::OperatorTable
    const features::Int
    const output::Int
    const lock::ReentrantLock
    const stocks::Dict{Int,Stock}
    const parts::Dict{Int,Counters}
    const tallies::Dict{Int,Tally}
    const tally::Tally
    const lineage::Lineage
    const home::Bool
    const started::Float64
    const processor_started::Float64
    share::Float64
    outputs::Int
    open::Union{Nothing,Frame}
    finished::Float64
    const hall_of_fame::Dict{Int,Tuple{Int,Bool}}
    const front::Dict{Int,Any}
    const seeds::Set{Tuple{Vector{Int32},Vector{Float64}}}  # Codes and constants of what populations began with.
    const explaining::Set{Int}  # References of members that leave only noise, or nothing.
    best_loss::Float64
    constant_loss::Float64  # NaN until it is asked for.
    spent_at_gain::Float64
    answered::Bool
    spare::Bool
    head::Any  # The head's state, where populations run in its own task; else nothing.
    stop::Any  # The engine's flag that ends the search; nothing where it has none.
    mutations::Vector{String}
    trace::Union{Nothing,IOStream}
    tracing::Bool
    @atomic cycles::Int
    @atomic requests::Int
    @atomic in_flight::Bool
    @atomic guidance_cycle::Int
    @atomic prior::Union{Nothing,Prior}
    @atomic ratios::Union{Nothing,Vector{Float64}}
    @atomic crossover_probability::Float64
    @atomic warned::Bool
    @atomic explained::Bool  # Something leaves only noise, or nothing: there is little left to ask for.
end

function Search(id, plugin, table, features, output; home::Bool, share::Float64=1.0)
    return Search(
        id, plugin, table, features, output, ReentrantLock(), Dict(), Dict(), Dict(), Tally(), Lineage(), home, time(), processor_seconds(),
        share, 1, nothing, NaN, Dict(), Dict(), Set(), Set(), Inf, NaN, 0.0, false, false, nothing, nothing, [], nothing, true, 0, 0, false, -1, nothing, nothing, NaN, false, false,
    )
end

"""Searches of this process; finished ones stay for their report, the oldest go."""
const SEARCHES = Dict{Int64,Search}()
const SEARCH_ORDER = Int64[]
const REGISTRY_LOCK = ReentrantLock()
const SEARCHES_KEPT = 256

function register!(search::Search)
    @lock REGISTRY_LOCK begin
        haskey(SEARCHES, search.id) || push!(SEARCH_ORDER, search.id)
        SEARCHES[search.id] = search
        while length(SEARCH_ORDER) > SEARCHES_KEPT
            delete!(SEARCHES, popfirst!(SEARCH_ORDER))
        end
    end
    return search
end

find_search(id::Int64) = @lock REGISTRY_LOCK get(SEARCHES, id, nothing)

"""The stock of one population, made when first asked for."""
stock_of(search::Search, population::Int) = @lock search.lock get!(Stock, search.stocks, population)

const SEARCH_NUMBERS = Threads.Atomic{Int}(0)

"""An id that no other search of this machine has, made without drawing from a random number generator."""
function fresh_search_id()
    number = Threads.atomic_add!(SEARCH_NUMBERS, 1)
    return (hash((getpid(), number, time_ns())) >> 2) % Int64
end

"""Switch a level, or with `"all"` everything, off for the rest of the search; counted, and warned about once."""
function disable!(search::Search, what::String, reason::String)
    disable!(search.tally, what, reason)
    warn_once(search, "The neural proposer's level $what is off for this search: $reason")
    return nothing
end

function warn_once(search::Search, text::String)
    search.plugin.verbose || return nothing
    (@atomicswap search.warned = true) || @warn "$text The search goes on. See the neural report for details."
    return nothing
end

"""The model's part of a limit of the overhead; the rest is for the engine's own work: hooks, more kinds, lineages."""
const MODEL_PART = 0.75

"""
With `max_overhead="auto"`: share of the time while help may still pay, and after; seconds of the model without a gain
that part the two. As in BasicSR; with noise, whatever leaves nothing else parts them as well. Where the search leaves a core to the proposer, its time costs the engine nothing.
"""
const PAYING, IDLE, PATIENCE = 0.5, 0.1, 4.0
const PAYING_SPARE, IDLE_SPARE = 1.0, 0.5

"""Share of the search's time that the proposer may have used now."""
function allowed_share(search::Search)
    is_auto(search.plugin) || return search.plugin.max_overhead
    spent = @lock TALLY_LOCK search.tally.model_seconds
    pays = spent - search.spent_at_gain < PATIENCE && !(@atomic search.explained)
    search.spare && return pays ? PAYING_SPARE : IDLE_SPARE
    return pays ? PAYING : IDLE
end

"""Whether a search leaves one of the cores idle: in the main process, workers are elsewhere."""
function leaves_core(plugin::NeuralProposerPlugin, ropt)
    cores = plugin.cores > 0 ? plugin.cores : Sys.CPU_THREADS
    ropt.parallelism === :multiprocessing && return cores > max(ropt.numprocs, 1) + 1
    busy = ropt.parallelism === :multithreading ? Threads.nthreads() : 1
    return cores > busy
end

"""Whether engine and proposer take turns on one core: populations run in the head's own task, and no core is left."""
is_beside(search::Search) = !isnothing(search.head) && !search.spare

"""
Seconds that the search has had. Where engine and proposer share a core, it is their own time: what others take of a busy
machine is no time of the search, and a share of it would be more of the engine's.
"""
function elapsed(search::Search, model_seconds::Float64)
    passed = time() - search.started
    is_beside(search) || return passed
    return min(passed, processor_seconds() - search.processor_started + model_seconds)
end

"""Seconds of the processors that this process has used; those of a clock on Windows."""
processor_seconds() = ccall(:clock, Clong, ()) / (Sys.iswindows() ? 1e3 : 1e6)

"""Seconds of model time that the search has earned so far."""
function budget(search::Search)
    spent = @lock TALLY_LOCK search.tally.model_seconds
    share = allowed_share(search)
    part = is_auto(search.plugin) && share >= PAYING ? 1.0 : MODEL_PART
    return part * share * search.share / search.outputs * elapsed(search, spent)
end

"""Seconds that are left of the search's limit of time; infinite where there is none."""
function seconds_left(search::Search, options)
    limit = options.timeout_in_seconds
    return isnothing(limit) ? Inf : max(Float64(limit) - (time() - search.started), 0.0)
end

"""How many outputs the fit of this search has, each a search of its own in the same time."""
function outputs_of(search::Search)
    @lock REGISTRY_LOCK begin
        together = Set(
            other.output for
            other in values(SEARCHES) if other.plugin.session == search.plugin.session && isnan(other.finished)
        )
        return max(length(together), 1)
    end
end
