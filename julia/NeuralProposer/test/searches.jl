# Small searches on one problem whose answer the scripted server knows.

using SymbolicRegression
using SymbolicRegression: get_tree
using NeuralProposer: TRACE, OPEN, read_frame, values_of, scalar_of

const FEATURES = 3
# Operators in wire order: cos = 1, exp = 2, + = 3, - = 4, * = 5, / = 6.
code(op) = Int32(FEATURES + op)
const COS, EXP, PLUS, MINUS, TIMES, DIVIDE = code.(1:6)
const X1, X2, X3 = Int32.(1:3)

"""cos(x1 * x2) / (x3 * x3 + x1) + exp(x2): beyond what a very short search finds."""
const SOLUTION = Int32[PLUS, DIVIDE, COS, TIMES, X1, X2, PLUS, TIMES, X3, X3, X1, EXP, X2]
const NEARLY = SOLUTION[2:(end - 2)]

function problem(::Type{T}=Float32; rows=60) where {T}
    X = T[1.5 + sin(12.9898 * i + 78.233 * j) for i in 1:FEATURES, j in 1:rows]
    y = @. cos(X[1, :] * X[2, :]) / (X[3, :] * X[3, :] + X[1, :]) + exp(X[2, :])
    return X, y
end

function options_with(plugins; kwargs...)
    return Options(;
        operators=OperatorEnum(1 => (cos, exp), 2 => (+, -, *, /)),
        plugins,
        populations=3,
        population_size=20,
        tournament_selection_n=6,
        ncycles_per_iteration=60,
        maxsize=20,
        define_helper_functions=false,
        save_to_file=false,
        kwargs...,
    )
end

"""Run a short search; returns the hall of fame."""
function search(
    plugins;
    T=Float32,
    niterations=6,
    parallelism=:serial,
    X=nothing,
    y=nothing,
    options=nothing,
    search_kwargs=(;),
    kwargs...,
)
    data = isnothing(X) ? problem(T) : (X, y)
    return equation_search(
        data...;
        niterations,
        options=isnothing(options) ? options_with(plugins; kwargs...) : options,
        parallelism,
        verbosity=0,
        progress=false,
        runtests=false,
        search_kwargs...,
    )
end

best_loss(hall) = minimum(member.loss for (member, there) in zip(hall.members, hall.exists) if there)

"""Everything about a hall of fame that two identical searches share."""
function fingerprint(hall)
    return [
        (size, string_tree(get_tree(member.tree), OperatorEnum(1 => (cos, exp), 2 => (+, -, *, /))), member.loss) for
        (size, member) in enumerate(hall.members) if hall.exists[size]
    ]
end

"""All frames of a directory's trace files."""
function frames_of(folder)
    return map(readdir(folder; join=true)) do path
        open(path) do io
            found = []
            while !eof(io)
                push!(found, read_frame(io))
            end
            found
        end
    end
end
