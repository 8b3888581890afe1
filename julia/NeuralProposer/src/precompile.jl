# A short search with the plugin, so that the first real one compiles little.
#
# No server is needed: the workload puts children and a prior into the search by hand and leaves no task, socket or
# registry entry behind.

function workload_options()
    plugin = NeuralProposerPlugin(; levels=filter(!=(:parents), LEVELS), verbose=false, interval=1, session="precompile")
    return SymbolicRegression.Options(;
        operators=SymbolicRegression.OperatorEnum(((), (+, -, /, *))),
        plugins=[plugin],
        populations=2,
        population_size=20,
        tournament_selection_n=6,
        ncycles_per_iteration=20,
        define_helper_functions=false,
        save_to_file=false,
    )
end

"""One population's cycles with children and guidance at hand."""
function stocked_cycles(X, y, options)
    dataset = SymbolicRegression.Dataset(X, y)
    SymbolicRegression.update_baseline_loss!(dataset, options)
    heads = SymbolicRegression.init_plugin_states(options, dataset)
    states = map(options.plugins, heads) do plugin, head
        SymbolicRegression.fork_plugin_state(head, plugin, dataset)
    end
    search = first(states).live.search
    workload_answer(search)
    count, features = length(search.table), search.features
    child = Child(Int32[features + 4, 1, 0], [0.5], CROSSOVER_KIND, NaN)
    put!(first(states).live.stock, fill(child, 200))
    @atomic search.prior = Prior(ones(count), ones(features), Float64[], count)
    @atomic search.ratios = kind_ratios(ones(length(KINDS)))
    @atomic search.crossover_probability = 0.5
    population = SymbolicRegression.Population(
        dataset; population_size=20, options, nfeatures=features, plugin_states=heads
    )
    return SymbolicRegression.s_r_cycle(
        dataset, population, 200, options.maxsize; options, trace=nothing, plugin_states=states
    )
end

function workload(::Type{T}) where {T}
    X = T[cos(7i + 3j) for i in 1:3, j in 1:30]
    y = X[1, :] .* X[2, :]
    options = workload_options()
    stocked_cycles(X, y, options)
    # PySR always hands over a way to stop, and its type is one of those that the whole search is compiled for.
    stop = isdefined(SymbolicRegression, :ExternalStop) ? (; external_stop=SymbolicRegression.ExternalStop()) : (;)
    for parallelism in (:serial, :multithreading)
        found = SymbolicRegression.equation_search(
            X, y; niterations=2, options, parallelism, verbosity=0, progress=false, return_state=true, stop...
        )
        Serialization.serialize(IOBuffer(), found)
    end
    Serialization.serialize(IOBuffer(), options)
    report("precompile")
    return nothing
end

"""Exercise the wire without a socket: frames of all types, with the kinds of values that a search puts into them."""
function workload_wire()
    for (type, declared) in FIELDS
        fields = Dict(name => wire_array(T, T[1, 2]) for (name, T) in declared)
        read_frame(IOBuffer(pack(Frame(type, 1, fields))))
    end
    frame(HELLO; token="token")
    return frame(
        REQUEST;
        search=Int64(1),
        seed=Int64(1),
        count=1,
        levels=Levels(1),
        temperature=1.0,
        max_size=1,
        progress=0.0,
        lengths=Int32[1],
        codes=Int32[1],
        constants=Float64[],
        losses=Float64[1],
        complexities=Int32[1],
        seconds=NaN,
    )
end

"""Take in an answer with one child, as the client task does."""
function workload_answer(search::Search)
    empty_fields = Dict(name => wire_array(T, T[]) for (name, T) in FIELDS[BATCH])
    told = (search=[search.id], elapsed=[0.0], lengths=[1], codes=[1], kinds=[0], log_probabilities=[-1.0], leave_noise=[0], explained=[0])
    declared = Dict(FIELDS[BATCH])
    fields = merge(empty_fields, Dict(name => wire_array(declared[name], told[name]) for name in keys(told)))
    return accept!(Job(:seed, search), Frame(BATCH, 1, fields))
end

@setup_workload begin
    @compile_workload begin
        redirect_stderr(devnull) do
            workload(Float32)
        end
        workload_wire()
        precompile(serve, (Client,))
        precompile(exchange!, (Client, Frame, Float64))
    end
    empty!(SEARCHES)
    empty!(SEARCH_ORDER)
    empty!(CLIENTS)
end
