# Which members descend from a proposed expression.
#
# Owns the set of their references. The engine renames every member after each iteration and keeps the old reference as
# the parent, so that following parents is enough. A crossover's second parent is not followed: the engine does not
# record it.

const LINEAGE_LIMIT = 1 << 16

"""References of members with a neural ancestor: the latest ones, in two generations of bounded size."""
mutable struct Lineage
    const lock::ReentrantLock
    const recent::Set{Int}
    const older::Set{Int}
    @atomic marked::Bool
end
Lineage() = Lineage(ReentrantLock(), Set{Int}(), Set{Int}(), false)

function mark!(lineage::Lineage, reference::Int)
    @lock lineage.lock begin
        if length(lineage.recent) >= LINEAGE_LIMIT
            empty!(lineage.older)
            union!(lineage.older, lineage.recent)
            empty!(lineage.recent)
        end
        push!(lineage.recent, reference)
    end
    @atomic lineage.marked = true
    return nothing
end

Base.isempty(lineage::Lineage) = !(@atomic :monotonic lineage.marked)

function descends(lineage::Lineage, reference::Int)
    return @lock lineage.lock (reference in lineage.recent || reference in lineage.older)
end
function descends(lineage::Lineage, member::AbstractPopMember)
    return descends(lineage, member.ref) || descends(lineage, member.parent)
end

"""A proposed tree that a hook handed to the engine, until the member that carries it is seen."""
struct Handed
    root::Any
    parent::Int
    loss::Float64
end

carries(member::AbstractPopMember, handed::Handed) =
    get_tree(member.tree) === handed.root || (member.parent == handed.parent && Float64(member.loss) == handed.loss)

"""
    follow!(lineage, handed, members, newest; everyone) -> newest birth

Mark the members that carry a handed tree or descend from a marked member. Only members born after `newest` are looked
at, unless `everyone` is asked for: after each iteration all have new references.
"""
function follow!(lineage::Lineage, handed::Vector{Handed}, members, newest::Int; everyone::Bool)
    isempty(lineage) && isempty(handed) && return newest
    latest = newest
    for _ in 1:(everyone ? 2 : 1), member in members
        (everyone || member.birth > newest) || continue
        latest = max(latest, member.birth)
        if descends(lineage, member.parent) || any(h -> carries(member, h), handed)
            mark!(lineage, member.ref)
        end
    end
    return latest
end
