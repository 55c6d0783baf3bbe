namespace Flint.App.Accounts;

/// <summary>Whether a secret opens the door.</summary>
public enum KeyState
{
    /// <summary>It does.</summary>
    Works,

    /// <summary>No key has it.</summary>
    Unknown,

    /// <summary>The key's time is over, or the secret's since the key was given another.</summary>
    Expired,

    /// <summary>The key is switched off for now.</summary>
    Disabled,

    /// <summary>The key has ended for good.</summary>
    Revoked,
}

/// <summary>A key as the store knows it: everything but its secrets.</summary>
public sealed record Key
{
    /// <summary>Its number.</summary>
    public long Id { get; init; }

    /// <summary>What its owner calls it.</summary>
    public string Name { get; init; } = "";

    /// <summary>The first characters of a secret, enough to recognise it by: of the one that was given, else of the newest.</summary>
    public string Prefix { get; init; } = "";

    /// <summary>When it was made, Unix milliseconds.</summary>
    public long Created { get; init; }

    /// <summary>When it ends by itself, Unix milliseconds; null for never.</summary>
    public long? Expires { get; init; }

    /// <summary>Since when it is switched off, Unix milliseconds; null while it is not.</summary>
    public long? Disabled { get; init; }

    /// <summary>When it was revoked, Unix milliseconds; null while it was not.</summary>
    public long? Revoked { get; init; }

    /// <summary>The number of its project.</summary>
    public long ProjectId { get; init; }

    /// <summary>The name of its project.</summary>
    public string Project { get; init; } = "";

    /// <summary>The number of its organisation.</summary>
    public long OrganizationId { get; init; }

    /// <summary>The name of its organisation.</summary>
    public string Organization { get; init; } = "";

    /// <summary>What it may be used for.</summary>
    public KeyScopes Scopes { get; init; } = KeyScopes.All;

    /// <summary>Whether it works at a moment.</summary>
    /// <param name="now">Unix milliseconds.</param>
    public KeyState StateAt(long now) =>
        Revoked is not null ? KeyState.Revoked : Disabled is not null ? KeyState.Disabled : Expires <= now ? KeyState.Expired : KeyState.Works;
}

/// <summary>One secret of a key, as the store knows it.</summary>
public sealed record KeySecret
{
    /// <summary>Its first characters.</summary>
    public string Prefix { get; init; } = "";

    /// <summary>When it was made, Unix milliseconds.</summary>
    public long Created { get; init; }

    /// <summary>When it stops to open, Unix milliseconds; null for not by itself.</summary>
    public long? Expires { get; init; }
}
