function recorded(folder; kwargs...)
    plugin = NeuralProposerPlugin(; levels=String[], trace=folder, trace_rate=1.0)
    return search([plugin]; kwargs...), plugin
end

"""One frame says one thing: children are members later, parents are known, deaths happen once."""
function check_frame(message)
    refs, dead = values_of(message, :event_refs, Int64), values_of(message, :death_refs, Int64)
    outcomes, lengths = values_of(message, :event_outcomes, Int32), values_of(message, :event_lengths, Int32)
    parents = reshape(values_of(message, :event_parents, Int64), 2, :)
    @test count(r -> r >= 0, refs) >= 0.95 * count(iszero, outcomes)
    @test all(lengths[outcomes .== 0 .&& refs .>= 0] .> 0)
    @test all(lengths[outcomes .== 1] .> 0)
    members = Set(values_of(message, :member_refs, Int64))
    known = union(members, refs)
    @test count(in(known), parents[1, :]) == size(parents, 2)
    @test allunique(dead)
    moments = values_of(message, :member_moments, Int32)
    last_members = values_of(message, :member_refs, Int64)[moments .== 1]
    @test length(last_members) == 20
    @test isdisjoint(dead, last_members)
end

"""Rejected children are told as they were, not as the parents that the engine writes over them."""
function check_rejected(frames)
    changing = [findfirst(==(kind), NeuralProposer.KINDS) - 1 for kind in (:add, :delete)]
    same = map(frames) do message
        refs, lengths = values_of(message, :event_refs, Int64), values_of(message, :event_lengths, Int32)
        sizes = Dict(zip(values_of(message, :member_refs, Int64), values_of(message, :member_lengths, Int32)))
        merge!(sizes, Dict(zip(refs, lengths)))
        kinds, outcomes = values_of(message, :event_kinds, Int32), values_of(message, :event_outcomes, Int32)
        parents = reshape(values_of(message, :event_parents, Int64), 2, :)[1, :]
        rejected = findall((outcomes .== 1) .& in.(kinds, Ref(changing)))
        return [lengths[i] == sizes[parents[i]] for i in rejected]
    end
    rejected = reduce(vcat, same)
    @test length(rejected) > 100
    @test !any(rejected)
end

"""From one iteration to the next a population's members keep their old reference as parent."""
function check_links(frames)
    by_population = Dict{Int,Any}()
    for message in frames
        population = Int(scalar_of(message, :population, Int32))
        refs, parents = values_of(message, :member_refs, Int64), values_of(message, :member_parents, Int64)
        moments = values_of(message, :member_moments, Int32)
        if haskey(by_population, population)
            @test count(in(by_population[population]), parents[moments .== 0]) >= 10
        end
        by_population[population] = Set(refs[moments .== 1])
    end
end

@testset "recording changes nothing and records everything" begin
    reproducible = (; deterministic=true, seed=11, niterations=4)
    plain = search([]; reproducible...)
    mktempdir() do folder
        hall, plugin = recorded(folder; reproducible...)
        @test fingerprint(hall) == fingerprint(plain)
        frames = only(frames_of(folder))
        @test frames[1].type == OPEN
        @test all(message -> message.type == TRACE, frames[2:end])
        hall_frame = pop!(frames)
        @test scalar_of(hall_frame, :population, Int32) == -1
        @test length(values_of(hall_frame, :member_refs, Int64)) == count(hall.exists)
        # The engine has started a further iteration of some populations when it stops.
        @test 4 * 3 <= length(frames) - 1 < 5 * 3
        told = report(plugin.session)
        tried = sum(first, values(told["kinds"]))
        crossover = findfirst(==(:crossover), NeuralProposer.KINDS) - 1
        kinds = reduce(vcat, (values_of(m, :event_kinds, Int32) for m in frames[2:end]))
        @test count(!=(crossover), kinds) == tried
        @test 0.1 < count(==(crossover), kinds) / length(kinds) < 0.5
        accepted = sum(pair -> pair[2], values(told["kinds"]))
        outcomes = reduce(vcat, (values_of(m, :event_outcomes, Int32) for m in frames[2:end]))
        @test count(iszero, outcomes[kinds .!= crossover]) == accepted
        foreach(check_frame, frames[2:end])
        check_links(frames[2:end])
        check_rejected(frames[2:end])
    end
end

@testset "neural moves are marked" begin
    answer(request, _) = batch(request, [Int32[PLUS, X1, 0] => [2.0] for _ in 1:wanted_count(request)])
    scripted_server(answer) do server
        mktempdir() do folder
            plugin = plugin_for(server, ["child"]; trace=folder, trace_rate=1.0, synchronous=true, max_overhead=20.0)
            search([plugin]; niterations=6)
            frames = only(frames_of(folder))[2:end]
            neural = sum(m -> sum(values_of(m, :event_neural, Int32)), frames)
            @test 0 < neural <= report(plugin.session)["served"]
        end
    end
end

@testset "a share of the populations" begin
    mktempdir() do folder
        plugin = NeuralProposerPlugin(; levels=String[], trace=folder, trace_rate=0.0)
        search([plugin]; niterations=2)
        @test all(m -> scalar_of(m, :population, Int32) in (1, -1), only(frames_of(folder))[2:end])
    end
end

@testset "a trace that cannot be written ends the recording only" begin
    plugin = NeuralProposerPlugin(; levels=String[], trace="/nonexistent/folder", trace_rate=1.0, verbose=false)
    @test isfinite(best_loss(search([plugin]; niterations=2)))
    @test occursin("trace", only(keys(report(plugin.session)["disabled"])))
end

@testset "what cannot be encoded is not recorded" begin
    mktempdir() do folder
        plugin = NeuralProposerPlugin(; levels=String[], trace=folder, verbose=false)
        X, y = problem()
        search([plugin]; X=complex.(X), y=complex.(y), niterations=1)
        @test isempty(readdir(folder))
    end
end
