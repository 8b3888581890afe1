# The connection to one server: one task owns the socket.
#
# Owns connecting, the handshake, one exchange at a time with a deadline, the circuit breaker, the bounded queue of jobs.
# Does not own what requests and answers mean (Requests.jl, Answers.jl). Hooks only put jobs into the queue and never
# wait; a full queue refuses.

const QUEUE_LIMIT = 64
const HANDSHAKE_SECONDS = 10.0
const IDLE_SECONDS = 120.0
const FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
const ERRORS_IN_A_ROW = 3

"""One thing for the client task to do; `finished` tells a waiting hook."""
mutable struct Job
    const purpose::Symbol
    const search::Union{Nothing,Search}
    const population::Int
    const references::Vector{Int}
    const message::Union{Nothing,Frame}
    @atomic finished::Bool
end
Job(purpose, search, population=0, references=Int[], message=nothing) =
    Job(purpose, search, population, references, message, false)

"""
Keeps a broken server from costing anything: open until `retry_at`, then one job may try (half open), and its success
closes it.
"""
mutable struct Breaker
    @atomic retry_at::Float64
    delay::Float64
    errors::Int
end
Breaker() = Breaker(0.0, FIRST_DELAY, 0)

is_open(breaker::Breaker) = time() < (@atomic breaker.retry_at)

function trip!(breaker::Breaker)
    @atomic breaker.retry_at = time() + breaker.delay
    breaker.delay = min(2 * breaker.delay, LONGEST_DELAY)
    return nothing
end

function heal!(breaker::Breaker)
    breaker.delay, breaker.errors = FIRST_DELAY, 0
    @atomic breaker.retry_at = 0.0
    return nothing
end

mutable struct Client
    const address::String
    const token::String
    const lock::ReentrantLock
    const queue::Channel{Job}
    const breaker::Breaker
    const opened::Set{Int64}
    socket::Union{Nothing,Base.PipeEndpoint,TCPSocket}
    number::UInt64
    running::Bool
end
Client(address, token) =
    Client(address, token, ReentrantLock(), Channel{Job}(2QUEUE_LIMIT), Breaker(), Set{Int64}(), nothing, 0, false)

const CLIENTS = Dict{Tuple{String,String},Client}()

function client_of(plugin::NeuralProposerPlugin)
    key = (plugin.address, plugin.token)
    return @lock REGISTRY_LOCK get!(() -> Client(key...), CLIENTS, key)
end

"""Queue a job without waiting; `false` if the queue is full. Starts the client task if none runs."""
function submit!(client::Client, job::Job)
    return @lock client.lock begin
        if Base.n_avail(client.queue) >= QUEUE_LIMIT
            false
        else
            put!(client.queue, job)
            start!(client; here=(!isnothing(job.search) && is_beside(job.search)))
            true
        end
    end
end

"""
Start the client task, if none runs: `here`, in the thread of the task that calls, or in one of the other pool where there
is one.

With multithreading the head's task only waits, yielding all the time, while populations queue for the other threads: the
client belongs there. So it does in a serial search without a core of its own: two threads on one core that share Julia's
event loop spin for each other's whole slices of time, a tenth of a second before the first answer (training/LOG.md). The
hooks yield while an answer is awaited. With a core to itself the client takes another thread, since this one computes.
Returns the task; `nothing` where one runs.
"""
function start!(client::Client; here::Bool)
    return @lock client.lock begin
        client.running && return nothing
        client.running = true
        if here
            @async serve(client)
        elseif Threads.threadpool() === :default && Threads.nthreads(:interactive) > 0
            Threads.@spawn :interactive serve(client)
        else
            Threads.@spawn :default serve(client)
        end
    end
end

"""The client task: do jobs until the last search is closed, or until none has come for a while."""
function serve(client::Client)
    while true
        job = next_job(client)
        try
            job.purpose === :idle || do_job(client, job)
        catch error
            job.purpose === :close ? disconnect!(client) : job_failed!(client, job, error)
        finally
            finish!(job)
        end
        done = job.purpose === :idle || (job.purpose === :close && isempty(client.opened))
        done && retire!(client) && break
    end
    return nothing
end

function next_job(client::Client)
    wake = Timer(_ -> submit!(client, Job(:idle, nothing)), IDLE_SECONDS)
    job = take!(client.queue)
    close(wake)
    return job
end

"""Leave if nothing waits: after an idle time, or when no search is open."""
function retire!(client::Client)
    return @lock client.lock begin
        leaving = Base.n_avail(client.queue) == 0
        if leaving
            disconnect!(client)
            client.running = false
        end
        leaving
    end
end

function finish!(job::Job)
    isnothing(job.search) || job.purpose === :close || (@atomic job.search.in_flight = false)
    @atomic job.finished = true
    return nothing
end

function do_job(client::Client, job::Job)
    if job.purpose === :close
        close_search!(client, job.search)
        return nothing
    end
    search, tally = job.search, job.search.tally
    isnothing(client.socket) && connect!(client, search.plugin.request_timeout)
    if !(search.id in client.opened)
        answer = exchange!(client, search.open, search.plugin.request_timeout)
        answer.type === ERROR && throw(WireError(string("The server refused the search: ", text_of(answer, :message))))
        answer.type === OPENED || throw(WireError("OPEN must be answered by OPENED; got $(answer.type)."))
        count_seconds!(tally, scalar_of(answer, :elapsed, Float64))
        push!(client.opened, search.id)
    end
    @lock TALLY_LOCK tally.calls += 1
    answer = exchange!(client, job.message, search.plugin.request_timeout)
    if answer.type === ERROR
        refused!(client, job, text_of(answer, :message))
        return nothing
    end
    answer.type === BATCH || throw(WireError("A REQUEST must be answered by BATCH; got $(answer.type)."))
    heal!(client.breaker)
    accept!(job, answer)
    return nothing
end

function refused!(client::Client, job::Job, text::String)
    breaker = client.breaker
    breaker.errors += 1
    note_failure!(job.search.tally, string("The server answered: ", text))
    delete!(client.opened, job.search.id)  # The server may have closed it to make room: it is opened again next time.
    if breaker.errors >= ERRORS_IN_A_ROW
        trip!(breaker)
        warn_once(job.search, "The proposer server refuses requests: $text")
    end
    return nothing
end

"""Anything wrong with the connection or its bytes: start anew later."""
function job_failed!(client::Client, job::Job, error)
    disconnect!(client)
    trip!(client.breaker)
    isnothing(job.search) && return nothing
    text = sprint(showerror, error)
    note_failure!(job.search.tally, string(job.purpose, ": ", text))
    warn_once(job.search, "The proposer server does not answer properly: $text")
    return nothing
end

function connect!(client::Client, timeout::Float64)
    seconds = min(timeout, HANDSHAKE_SECONDS)
    client.socket = open_socket(client.address)
    answer = exchange!(client, frame(HELLO; token=client.token), seconds)
    answer.type === ERROR && throw(WireError(string("The server refused: ", text_of(answer, :message))))
    answer.type === WELCOME || throw(WireError("HELLO must be answered by WELCOME; got $(answer.type)."))
    kinds = split(text_of(answer, :kinds), '\n')
    kinds == collect(String.(KINDS)) ||
        throw(WireError("The server's kinds must be $(KINDS); got $kinds. Install matching versions."))
    return nothing
end

function open_socket(address::String)
    startswith(address, "unix:") && return connect(address[(length("unix:") + 1):end])
    host, port = match(r"^tcp:(.+):(\d+)$", address).captures
    return connect(String(host), parse(Int, port))
end

function disconnect!(client::Client)
    isnothing(client.socket) || close(client.socket)
    client.socket = nothing
    empty!(client.opened)
    return nothing
end

"""Given to an answer that came while no task of this thread could run, before its deadline closes the socket."""
const GRACE_SECONDS = 0.05

"""
Send one message and wait for its answer; answers to anything else are dropped. The deadline closes the socket, unless
the answer was there first: the next exchange uses the same socket.
"""
function exchange!(client::Client, message::Frame, seconds::Float64)
    socket = client.socket
    client.number += 1
    waiting = Threads.Atomic{Bool}(true)
    end_wait!() = Threads.atomic_xchg!(waiting, false)  # True for who ends it: the answer, or the deadline.
    deadline = Timer(seconds) do _
        sleep(GRACE_SECONDS)
        end_wait!() && close(socket)
    end
    try
        write(socket, pack(Frame(message.type, client.number, message.fields)))
        answer = answer_of(socket, client.number)
        end_wait!() && return answer
    catch
        end_wait!() && rethrow()
    finally
        close(deadline)
    end
    throw(WireError("no answer within $seconds seconds"))
end

function answer_of(socket::Union{Base.PipeEndpoint,TCPSocket}, number::UInt64)
    while true
        answer = read_frame(socket)
        isnothing(answer) && throw(WireError("the server closed the connection"))
        answer.request == number && return answer
    end
end

function close_search!(client::Client, search::Search)
    if search.id in client.opened
        client.number += 1
        write(client.socket, pack(frame(CLOSE, client.number; search=search.id)))
        delete!(client.opened, search.id)
    end
    search.open = nothing
    isempty(client.opened) && disconnect!(client)
    return nothing
end

function count_seconds!(tally::Tally, seconds::Float64)
    isfinite(seconds) && seconds > 0 && @lock TALLY_LOCK tally.model_seconds += seconds
    return nothing
end

"""Wait for a job inside a hook that may: at most `seconds`; tells whether it finished."""
function wait_for(job::Job, seconds::Real)
    timedwait(() -> (@atomic job.finished), seconds; pollint=0.001)
    return @atomic job.finished
end
