using System.Net;
using Flint.App.Operations;
using Flint.App.Serving;

namespace Flint.App.Api;

/// <summary>Where and how a server listens.</summary>
public sealed record ApiOptions
{
    /// <summary>The address to listen at.</summary>
    public IPAddress Address { get; init; } = IPAddress.Loopback;

    /// <summary>The port; 0 takes a free one.</summary>
    public int Port { get; init; } = 8080;

    /// <summary>Whether requests are refused that Meta's Model API would refuse.</summary>
    public bool IsMuse { get; init; }

    /// <summary>Whether requests need a key. Without keys only loopback addresses are allowed.</summary>
    public bool RequireKeys { get; init; } = true;

    /// <summary>The certificate; null for a server that speaks plain HTTP.</summary>
    public Certificates? Certificates { get; init; }

    /// <summary>The commands that code of agents can be put to, by name.</summary>
    public IReadOnlyDictionary<string, CodeChecker> Checkers { get; init; } = new Dictionary<string, CodeChecker>();

    /// <summary>Whether an answer waits until its record survives the loss of power; else only until it survives the death of the process.</summary>
    public bool WaitsForDisk { get; init; }

    /// <summary>What the operator is told.</summary>
    public ServerLog Log { get; init; } = ServerLog.OnConsole(isJson: false);
}
