# Plugins and answers that several tests use.

plugin_for(server, levels; kwargs...) = NeuralProposerPlugin(;
    address=address(server), token=server.token, levels, max_overhead=1e6, batch_size=16, interval=2, seed_timeout=30,
    verbose=false, kwargs...
)

solutions(request, _) = batch(request, fill(SOLUTION, wanted_count(request)))

function priors(request, _)
    return batch(request; operator_weights=[0.1, 0.3, 0.2, 0.1, 0.2, 0.1], variable_weights=[0.3, 0.4, 0.3])
end
