# A proposer server that follows a script, in this process: no Python, no model.

using Sockets: accept, bind, connect, listen
using NeuralProposer:
    BATCH, CLOSE, ERROR, Frame, HELLO, KINDS, OPEN, OPENED, PING, PONG, REQUEST, WELCOME, frame, pack, read_frame,
    scalar_of, text_of, values_of

"""What a script may answer: a frame, raw bytes that are sent as they are, `:hang` (nothing) or `:close` (hang up)."""
const Answer = Union{Frame,Vector{UInt8},Symbol}

mutable struct ScriptedServer
    const path::String
    const token::String
    const listener::Any
    const script::Function
    const requests::Vector{Frame}
    const opened::Vector{Frame}
    const sockets::Vector{Any}
    closed::Int
end

address(server::ScriptedServer) = "unix:" * server.path

"""
    scripted_server(f, script; token="secret")

Run `f(server)` with a server that answers every REQUEST with `script(request, open)`, where `open` is the OPEN frame of
its search.
"""
function scripted_server(f::Function, script::Function; token="secret")
    path = joinpath(mktempdir(), "s")
    server = ScriptedServer(path, token, listen(path), script, Frame[], Frame[], [], 0)
    errormonitor(@async accept_all(server))
    try
        return f(server)
    finally
        stop!(server)
    end
end

function stop!(server::ScriptedServer)
    close(server.listener)
    foreach(close, server.sockets)
    rm(server.path; force=true)
    return nothing
end

function accept_all(server::ScriptedServer)
    while isopen(server.listener)
        socket = try
            accept(server.listener)
        catch
            break
        end
        push!(server.sockets, socket)
        errormonitor(@async converse(server, socket))
    end
end

function converse(server::ScriptedServer, socket)
    searches = Dict{Int64,Frame}()
    while isopen(socket)
        message = try
            read_frame(socket)
        catch
            nothing
        end
        isnothing(message) && break
        reply = answer_to(server, message, searches)
        reply === :hang && continue
        reply === :close && break
        try
            write(socket, reply isa Frame ? pack(reply) : reply)
        catch
            break
        end
    end
    close(socket)
end

function answer_to(server::ScriptedServer, message::Frame, searches)
    number = message.request
    if message.type === HELLO
        text_of(message, :token) == server.token || return frame(ERROR, number; message="wrong token")
        return frame(WELCOME, number; server="scripted", kinds=join(KINDS, '\n'))
    elseif message.type === OPEN
        push!(server.opened, message)
        searches[scalar_of(message, :search, Int64)] = message
        return frame(OPENED, number; search=scalar_of(message, :search, Int64), elapsed=0.0)
    elseif message.type === REQUEST
        push!(server.requests, message)
        return server.script(message, searches[scalar_of(message, :search, Int64)])
    elseif message.type === CLOSE
        server.closed += 1
        return :hang
    end
    return message.type === PING ? frame(PONG, number) : frame(ERROR, number; message="unexpected $(message.type)")
end

"""A BATCH with the given children, each `codes` or `codes => constants`."""
function batch(
    request::Frame,
    children=[];
    kind=:neural,
    elapsed=1e-4,
    kind_weights=Float64[],
    crossover_probability=NaN,
    parent_weights=Float64[],
    operator_weights=Float64[],
    variable_weights=Float64[],
    pair_weights=Float64[],
    leave_noise=false,
    explained=false,
)
    split(child) = child isa Pair ? child : (child => Float64[])
    codes, constants = first.(split.(children)), last.(split.(children))
    n = length(children)
    return frame(
        BATCH,
        request.request;
        search=scalar_of(request, :search, Int64),
        lengths=Int32[length(c) for c in codes],
        codes=reduce(vcat, codes; init=Int32[]),
        constants=reduce(vcat, constants; init=Float64[]),
        kinds=fill(Int32(findfirst(==(kind), KINDS) - 1), n),
        parents=fill(Int32(-1), 2, n),
        log_probabilities=fill(-1.0, n),
        leave_noise=fill(Int32(leave_noise), n),
        explained=Int32(explained),
        kind_weights,
        crossover_probability,
        parent_weights,
        operator_weights,
        variable_weights,
        pair_weights,
        elapsed,
    )
end

wanted_count(request::Frame) = Int(scalar_of(request, :count, Int32))
