namespace Flint.Engine;

/// <summary>Whose sequences are, among those who share an engine, and how much of it they are to have beside one another.</summary>
/// <remarks>
/// Where owners wait for one another, tokens are computed for them in the ratio of their weights. Who waits for nobody has the engine
/// alone, and what was not used then is not to be had later.
/// </remarks>
/// <param name="owner">A number of the host's choice; 0 is who names none.</param>
public sealed class EngineShare(long owner)
{
    /// <summary>The largest weight.</summary>
    public const int MaxWeight = 1000;

    /// <summary>Who names no owner.</summary>
    public static readonly EngineShare Common = new(0);

    private int _weight = 1;

    /// <summary>The owner.</summary>
    public long Owner => owner;

    /// <summary>The weight, 1 to <see cref="MaxWeight"/>; it holds for what is submitted from then on.</summary>
    public int Weight
    {
        get => Volatile.Read(ref _weight);
        set => Volatile.Write(ref _weight, Math.Clamp(value, 1, MaxWeight));
    }
}
