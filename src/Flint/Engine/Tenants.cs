namespace Flint.Engine;

/// <summary>An owner of sequences, as the engine sees it.</summary>
/// <param name="owner">Its number.</param>
internal sealed class Tenant(long owner)
{
    public long Owner => owner;

    /// <summary>Its weight.</summary>
    public int Weight { get; set; } = 1;

    /// <summary>Sequences submitted and not ended.</summary>
    public int Live { get; set; }

    // ---- what the engine's thread keeps ----

    /// <summary>Sequences waiting or running.</summary>
    public int Listed { get; set; }

    /// <summary>Sequences running.</summary>
    public int Running { get; set; }

    /// <summary>Prompts with rows to compute in the step being planned.</summary>
    public int Prompts { get; set; }

    /// <summary>Tokens computed for it, by its weight, on the scale of <see cref="Tenants.Now"/>.</summary>
    public double Pass { get; set; }

    /// <summary>By how many tokens of its own it is ahead of another.</summary>
    public double Lead(Tenant other) => (Pass - other.Pass) * Weight;
}

/// <summary>
/// Who shares an engine: start-time fair queueing over tokens. An owner's pass is what was computed for it by its weight; who is
/// behind goes first. An owner that comes back from idling begins where the others are, so that it has no credit; and nobody is ever
/// more than a number of its own tokens behind or ahead of them, so that neither credit nor debt grows.
/// </summary>
/// <param name="slack">Tokens of its own by which an owner may be ahead of one that waits.</param>
internal sealed class Tenants(int slack)
{
    private const int MaxKnown = 4096;
    private const int Behind = 8, Ahead = 16; // in slacks: the farthest that an owner is from the others

    private readonly Dictionary<long, Tenant> _known = [];
    private int _live;

    /// <summary>Where the owners are that were served last: the least pass among them; it never goes back.</summary>
    public double Now { get; private set; }

    /// <summary>Takes in sequences of an owner. Under the engine's lock, as <see cref="Leave"/> and <see cref="LiveOf"/>.</summary>
    public Tenant Enter(EngineShare share, int count)
    {
        if (!_known.TryGetValue(share.Owner, out Tenant? tenant))
        {
            if (_known.Count >= MaxKnown)
                Forget();
            _known[share.Owner] = tenant = new Tenant(share.Owner);
        }
        tenant.Weight = share.Weight;
        tenant.Live += count;
        _live += count;
        return tenant;
    }

    /// <summary>Sequences of an owner submitted and not ended.</summary>
    public int LiveOf(EngineShare share) => _known.TryGetValue(share.Owner, out Tenant? tenant) ? tenant.Live : 0;

    /// <summary>Takes out a sequence. An owner that has none left is remembered as long as it is ahead of others.</summary>
    public void Leave(Tenant tenant)
    {
        _live--;
        if (--tenant.Live > 0)
            return;
        if (_live == 0)
            _known.Clear(); // nobody waits for anybody
        else if (tenant.Pass <= Now)
            _known.Remove(tenant.Owner);
    }

    /// <summary>Lists a sequence of an owner; one that comes back begins where the others are.</summary>
    public void List(Tenant tenant)
    {
        if (tenant.Listed++ == 0)
            tenant.Pass = Math.Max(tenant.Pass, Now);
    }

    /// <summary>Charges an owner with tokens computed for it.</summary>
    public static void Charge(Tenant tenant, int tokens) => tenant.Pass += (double)tokens / tenant.Weight;

    /// <summary>Takes note of the least pass among those that a step serves.</summary>
    public void Advance(double least) => Now = Math.Max(Now, least);

    /// <summary>Keeps an owner within reach of the others.</summary>
    public void Keep(Tenant tenant)
    {
        double unit = (double)slack / tenant.Weight;
        tenant.Pass = Math.Clamp(tenant.Pass, Now - Behind * unit, Now + Ahead * unit);
    }

    /// <summary>Whether one is so far ahead of another that it gives up a place to it.</summary>
    public bool IsAhead(Tenant tenant, Tenant of) => tenant.Lead(of) > slack;

    private void Forget()
    {
        foreach ((long owner, Tenant tenant) in _known)
        {
            if (tenant.Live == 0)
                _known.Remove(owner); // which a dictionary allows while it is enumerated
        }
    }
}
