namespace Flint.App.Upstreams;

/// <summary>A target as one model's configuration has it.</summary>
/// <param name="options">The configuration.</param>
/// <param name="key">Its key; null for none.</param>
/// <param name="target">The target.</param>
internal sealed class UpstreamMember(TargetOptions options, UpstreamKey? key, UpstreamTarget target)
{
    /// <summary>The configuration.</summary>
    public TargetOptions Options => options;

    /// <summary>Its key; null for none.</summary>
    public UpstreamKey? Key => key;

    /// <summary>The target.</summary>
    public UpstreamTarget Target => target;

    /// <summary>What it is ahead of the others by, in smooth weighted turns; for its model to change.</summary>
    public int Credit { get; set; }
}
