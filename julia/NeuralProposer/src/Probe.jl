# What the installed engine offers, found out at load.
#
# Owns the list of hooks and fields that each level needs. The plugin interface is experimental: where the installed
# version lacks something, the level that needs it is off, with one warning, and the rest works.

"""Hooks by name, with the number of arguments that the engine passes."""
const HOOKS = Dict{Symbol,Int}(
    :init_plugin_state => 3,
    :fork_plugin_state => 3,
    :refresh_worker_plugin_state => 4,
    :plugin_mutations => 1,
    :plugin_crossovers => 1,
    :on_search_start! => 5,
    :init_member => 4,
    :on_cycle_start! => 5,
    :on_cycle_end! => 6,
    :condition_mutation_weights! => 7,
    :tournament_cost_multiplier => 4,
    :on_mutation_end! => 6,
    :mutation_acceptance_multiplier => 4,
    :on_generation_end! => 7,
    :on_search_end! => 6,
    :prepare_mutation_context => 1,
    :condition_mutation! => 5,
)

"""Hooks that each level needs; the empty name stands for all levels."""
const NEEDED_HOOKS = Dict{Symbol,Vector{Symbol}}(
    Symbol("") => [:init_plugin_state, :fork_plugin_state, :on_cycle_start!, :on_cycle_end!, :on_search_start!],
    :seed => [:init_member],
    :kind => [:condition_mutation_weights!],
    :parents => [:tournament_cost_multiplier],
    :child => [:plugin_mutations, :condition_mutation_weights!, :prepare_mutation_context, :condition_mutation!],
    :crossover => [:plugin_crossovers, :plugin_mutations, :condition_mutation_weights!],
    :refresh => [:on_generation_end!],
    :prior => [:plugin_mutations, :condition_mutation_weights!],
    :foresight => [:plugin_mutations, :condition_mutation_weights!],
)

"""Fields that each level reads, as `(type name, field)`."""
const NEEDED_FIELDS = Dict{Symbol,Vector{Tuple{Symbol,Symbol}}}(
    Symbol("") => [
        (:Options, :operators), (:Options, :plugins), (:Options, :mutations), (:Options, :node_type),
        (:Options, :expression_type), (:Options, :maxsize), (:Options, :maxdepth), (:Options, :nested_constraints),
        (:Options, :populations), (:Options, :ncycles_per_iteration), (:PopMember, :tree), (:PopMember, :loss),
        (:PopMember, :ref), (:PopMember, :parent), (:PopMember, :birth), (:Population, :members), (:Population, :n),
        (:Node, :degree), (:Node, :constant), (:Node, :val), (:Node, :feature), (:Node, :op),
    ],
    :seed => [(:Options, :timeout_in_seconds), (:BasicDataset, :use_baseline), (:BasicDataset, :baseline_loss)],
    :child => [(:MutationEvent, :accepted), (:MutationEvent, :after_loss), (:MutationEvent, :mutation_idx)],
    :crossover => [(:Options, :crossovers), (:Options, :crossover_probability)],
    :refresh => [(:HallOfFame, :members), (:HallOfFame, :exists), (:PopMember, :cost)],
)

takes(f, count::Int) = any(method -> method.nargs == count + 1 || method.isva, methods(f))

function is_present(name::Symbol)
    return isdefined(SymbolicRegression, name) && takes(getfield(SymbolicRegression, name), HOOKS[name])
end

function has_field(type::Symbol, field::Symbol)
    return isdefined(SymbolicRegression, type) && field in fieldnames(getfield(SymbolicRegression, type))
end

"""What the installed engine lacks, by level; empty when everything is there."""
function missing_by_level()
    missing_things = Dict{Symbol,Vector{String}}()
    for level in (Symbol(""), LEVELS...)
        hooks = [string(name) for name in get(NEEDED_HOOKS, level, Symbol[]) if !is_present(name)]
        fields = get(NEEDED_FIELDS, level, Tuple{Symbol,Symbol}[])
        append!(hooks, (string(type, ".", field) for (type, field) in fields if !has_field(type, field)))
        isempty(hooks) || (missing_things[level] = hooks)
    end
    return missing_things
end

const MISSING = missing_by_level()

"""Take the levels out that the installed engine cannot serve, with a warning if that is wanted."""
function without_missing_hooks(mask::Levels, verbose::Bool)
    for level in LEVELS
        absent = vcat(get(MISSING, Symbol(""), String[]), get(MISSING, level, String[]))
        if has(mask, level_bit(level)) && !isempty(absent)
            verbose &&
                @warn "The level $level is off: the installed SymbolicRegression lacks $(join(absent, ", "))." maxlog = 1
            mask &= ~level_bit(level)
        end
    end
    return mask
end
