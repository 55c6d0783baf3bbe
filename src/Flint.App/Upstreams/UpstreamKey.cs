using System.Net.Http.Headers;

namespace Flint.App.Upstreams;

/// <summary>The key of an upstream: it is sent to the upstream, and told to nobody else.</summary>
internal sealed class UpstreamKey
{
    /// <summary>Most bytes of a file that holds one.</summary>
    public const int MaxBytes = 16 * 1024;

    private readonly string _secret;

    private UpstreamKey(string secret) => _secret = secret;

    /// <summary>Reads a target's key; null where it has none.</summary>
    /// <exception cref="FlintException">Caller: it is not where it should be, or is none.</exception>
    public static UpstreamKey? Read(TargetOptions target)
    {
        if (target.KeyVariable is string variable)
            return Create(Environment.GetEnvironmentVariable(variable) ?? "", $"the environment variable {variable}", target);
        if (target.KeyFile is not string file)
            return null;
        try
        {
            if (new FileInfo(file).Length > MaxBytes)
                throw FlintException.Caller("invalid_upstream_key", $"The file {file} of the upstream '{target.Name}' is longer than {MaxBytes} bytes.");
            return Create(File.ReadAllText(file), $"the file {file}", target);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw FlintException.Caller("invalid_upstream_key", $"The file {file}, which is to hold the key of the upstream '{target.Name}', cannot be read.");
        }
    }

    /// <summary>Puts it into a request.</summary>
    public void Sign(HttpRequestMessage request) => request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", _secret);

    /// <summary>A text without it.</summary>
    public string Strike(string text) => text.Replace(_secret, "[key]", StringComparison.Ordinal);

    /// <summary>Never the key.</summary>
    public override string ToString() => "[key]";

    private static UpstreamKey Create(string text, string where, TargetOptions target)
    {
        string secret = text.Trim();
        if (secret.Length == 0)
            throw FlintException.Caller("invalid_upstream_key", $"The key of the upstream '{target.Name}' is to be in {where}, where there is nothing.");
        return secret.All(c => c is > ' ' and < '\x7F')
            ? new UpstreamKey(secret) : throw FlintException.Caller("invalid_upstream_key", $"What {where} holds for the upstream '{target.Name}' is no key: it has other characters than printable ASCII.");
    }
}
