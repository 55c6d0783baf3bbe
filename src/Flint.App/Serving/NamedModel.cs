namespace Flint.App.Serving;

/// <summary>What a request may name as its model.</summary>
public abstract class NamedModel
{
    private protected NamedModel(string name, string fingerprint, DateTimeOffset created)
    {
        Name = name;
        Fingerprint = fingerprint;
        Created = created;
    }

    /// <summary>Its name in the API.</summary>
    public string Name { get; }

    /// <summary>Equal for what answers alike: names the weights, or the upstreams that have them.</summary>
    public string Fingerprint { get; }

    /// <summary>When its file was written, or its configuration read.</summary>
    public DateTimeOffset Created { get; }

    /// <summary>The longest prompt and answer together, in tokens; null where it is not known.</summary>
    public abstract int? ContextLength { get; }

    /// <summary>The model that it is an adapter of; null for none.</summary>
    public virtual string? Parent => null;
}
