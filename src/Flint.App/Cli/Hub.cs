using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Flint.App.Cli;

/// <summary>A file the hub offers: its path in the repository, its size, and the SHA-256 it promises where the listing has one.</summary>
internal sealed record HubFile(string Path, long Size, string? Sha256);

/// <summary>
/// The part of the Hugging Face hub's protocol that fetching weights needs: the list of files with their hashes, and ranged
/// reads through redirects. The token goes to the hub itself and never to a host that a redirect names.
/// </summary>
internal sealed partial class Hub : IDisposable
{
    private const int MaxRedirects = 10;
    private const int MaxPages = 200;
    private const int MaxListingBytes = 64 << 20;
    private const int MaxFiles = 100_000;

    /// <summary>The longest silence on a connection before it counts as cut.</summary>
    internal static readonly TimeSpan Silence = TimeSpan.FromSeconds(60);

    private readonly Uri _endpoint;
    private readonly string? _token;
    private readonly HttpClient _http;

    /// <param name="endpoint">Such as <c>https://huggingface.co</c>.</param>
    /// <param name="token">Sent as a bearer token to <paramref name="endpoint"/> only; null or empty for none.</param>
    /// <exception cref="FlintException">Caller: the endpoint is not an http or https address.</exception>
    internal Hub(string endpoint, string? token)
    {
        if (!Uri.TryCreate(endpoint.TrimEnd('/') + "/", UriKind.Absolute, out Uri? address) || address.Scheme is not ("http" or "https"))
            throw FlintException.Caller("invalid_endpoint", $"HF_ENDPOINT is not an http or https address: {endpoint}");
        _endpoint = address;
        _token = string.IsNullOrWhiteSpace(token) ? null : token.Trim();
        _http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, ConnectTimeout = TimeSpan.FromSeconds(30) })
        {
            Timeout = Timeout.InfiniteTimeSpan, // silence is watched per read instead: a large file may take hours
        };
        _http.DefaultRequestHeaders.UserAgent.ParseAdd("flint/" + typeof(Hub).Assembly.GetName().Version!.ToString(3));
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    /// <summary>Every file of the repository's main branch.</summary>
    /// <exception cref="FlintException">Caller: no such repository or no right to it; Machine: the hub cannot be reached or talks nonsense.</exception>
    internal async Task<IReadOnlyList<HubFile>> ListAsync(string repository, CancellationToken cancel)
    {
        var files = new List<HubFile>();
        Uri? next = new(_endpoint, $"api/models/{repository}/tree/main?recursive=true");
        for (int page = 0; next is not null; page++)
        {
            if (page == MaxPages || files.Count > MaxFiles)
                throw Nonsense(repository, $"lists more than {MaxFiles} files");
            using HttpResponseMessage response = await GetAsync(next, null, repository, cancel);
            if (page == 0 && response.StatusCode == HttpStatusCode.NotFound)
                return await ListBlobsAsync(repository, cancel);
            Check(response, repository);
            using JsonDocument json = await ReadJsonAsync(response, repository, cancel);
            if (json.RootElement.ValueKind != JsonValueKind.Array) throw Nonsense(repository, "sends a file list that is not an array");
            foreach (JsonElement entry in json.RootElement.EnumerateArray())
                if (Text(entry, "type") is null or "file") Add(files, entry, "path", repository);
            next = NextPage(response, next);
        }
        return files;
    }

    /// <summary>Starts reading one file.</summary>
    /// <param name="repository">The repository.</param>
    /// <param name="path">The file's path in it.</param>
    /// <param name="from">First byte wanted; the answer says in its status whether the hub granted it.</param>
    /// <param name="cancel">Stops the request.</param>
    /// <returns>The final answer, and the SHA-256 the hub named on the way, if any.</returns>
    internal async Task<(HttpResponseMessage Response, string? Sha256)> OpenAsync(string repository, string path, long from, CancellationToken cancel)
    {
        string escaped = string.Join('/', path.Split('/').Select(Uri.EscapeDataString));
        string? hash = null;
        HttpResponseMessage response = await GetAsync(new Uri(_endpoint, $"{repository}/resolve/main/{escaped}"), from, repository, cancel,
            answer => hash ??= Hash(Header(answer, "X-Linked-ETag")) ?? Hash(Header(answer, "ETag")));
        return (response, hash);
    }

    /// <summary>Throws the fault that an answer's status stands for, if it stands for one.</summary>
    internal static void Check(HttpResponseMessage response, string what)
    {
        if (response.IsSuccessStatusCode) return;
        int status = (int)response.StatusCode;
        throw response.StatusCode switch
        {
            HttpStatusCode.Unauthorized => FlintException.Caller("unauthorized",
                $"the hub refused {what} (401): it does not exist, or HF_TOKEN must hold a token that may read it"),
            HttpStatusCode.Forbidden => FlintException.Caller("forbidden",
                $"the hub refused {what} (403): accept its terms on the hub, or set HF_TOKEN to a token that may read it"),
            HttpStatusCode.NotFound => FlintException.Caller("not_found", $"the hub has no {what} (404)"),
            HttpStatusCode.TooManyRequests => new FlintException(FaultSide.Limit, "rate_limited", $"the hub asks to slow down (429) at {what}"),
            >= HttpStatusCode.InternalServerError => new FlintException(FaultSide.Machine, "hub_busy", $"the hub answered {status} for {what}"),
            _ => new FlintException(FaultSide.Machine, "hub_error", $"the hub answered {status} for {what}"),
        };
    }

    private async Task<IReadOnlyList<HubFile>> ListBlobsAsync(string repository, CancellationToken cancel)
    {
        using HttpResponseMessage response = await GetAsync(new Uri(_endpoint, $"api/models/{repository}?blobs=true"), null, repository, cancel);
        Check(response, repository);
        using JsonDocument json = await ReadJsonAsync(response, repository, cancel);
        var files = new List<HubFile>();
        if (json.RootElement.ValueKind == JsonValueKind.Object && json.RootElement.TryGetProperty("siblings", out JsonElement siblings)
            && siblings.ValueKind == JsonValueKind.Array)
        {
            foreach (JsonElement entry in siblings.EnumerateArray().Take(MaxFiles))
                Add(files, entry, "rfilename", repository);
        }
        return files;
    }

    private async Task<HttpResponseMessage> GetAsync(
        Uri address, long? from, string what, CancellationToken cancel, Action<HttpResponseMessage>? seen = null)
    {
        for (int hop = 0; hop <= MaxRedirects; hop++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, address);
            if (from > 0) request.Headers.Range = new RangeHeaderValue(from, null);
            if (_token is not null && SameOrigin(address)) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", _token);
            HttpResponseMessage response = await SendAsync(request, what, cancel);
            seen?.Invoke(response);
            if ((int)response.StatusCode is not (301 or 302 or 303 or 307 or 308)) return response;
            Uri? target = response.Headers.Location is { } location ? new Uri(address, location) : null;
            response.Dispose();
            if (target is null || target.Scheme is not ("http" or "https"))
                throw Nonsense(what, "redirects to nowhere");
            if (address.Scheme == "https" && target.Scheme == "http")
                throw Nonsense(what, $"redirects from https to plain http ({target.Host})");
            address = target;
        }
        throw Nonsense(what, $"redirects more than {MaxRedirects} times");
    }

    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, string what, CancellationToken cancel)
    {
        using var silence = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        silence.CancelAfter(Silence);
        try
        {
            return await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, silence.Token);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new FlintException(FaultSide.Machine, "hub_unreachable",
                $"{request.RequestUri!.Authority} did not answer within {Silence.TotalSeconds:0} s for {what}");
        }
        catch (HttpRequestException error)
        {
            throw new FlintException(FaultSide.Machine, "hub_unreachable",
                $"{request.RequestUri!.Authority} cannot be reached for {what}: {error.GetBaseException().Message}", error);
        }
    }

    private static async Task<JsonDocument> ReadJsonAsync(HttpResponseMessage response, string repository, CancellationToken cancel)
    {
        try
        {
            await response.Content.LoadIntoBufferAsync(MaxListingBytes, cancel);
            await using Stream body = await response.Content.ReadAsStreamAsync(cancel);
            return await JsonDocument.ParseAsync(body, new JsonDocumentOptions { MaxDepth = 64 }, cancel);
        }
        catch (JsonException)
        {
            throw Nonsense(repository, "sends a file list that is not JSON");
        }
        catch (HttpRequestException error)
        {
            throw new FlintException(FaultSide.Machine, "hub_unreachable", $"the file list of {repository} did not arrive: {error.Message}", error);
        }
    }

    private static void Add(List<HubFile> files, JsonElement entry, string pathName, string repository)
    {
        if (Text(entry, pathName) is not { } path) return;
        if (!IsSafe(path)) throw Nonsense(repository, $"lists a file with an unsafe path: {Printable(path)}");
        long size = Number(entry, "size") ?? -1;
        string? sha256 = null;
        if (entry.TryGetProperty("lfs", out JsonElement lfs) && lfs.ValueKind == JsonValueKind.Object)
        {
            sha256 = Hash(Text(lfs, "oid") ?? Text(lfs, "sha256"));
            size = Number(lfs, "size") ?? size;
        }
        files.Add(new HubFile(path, size, sha256));
    }

    /// <summary>A relative path that stays inside its folder on every system.</summary>
    private static bool IsSafe(string path) =>
        path.Length is > 0 and <= 1000 && !path.Contains('\\') && !path.Contains(':') && !path.Any(char.IsControl)
        && path.Split('/').All(part => part.Length is > 0 and <= 200 && part.Trim('.', ' ').Length > 0);

    private bool SameOrigin(Uri address) =>
        address.Scheme == _endpoint.Scheme && address.Host == _endpoint.Host && address.Port == _endpoint.Port;

    private static Uri? NextPage(HttpResponseMessage response, Uri current)
    {
        Match link = NextLink().Match(Header(response, "Link") ?? "");
        return link.Success && Uri.TryCreate(current, link.Groups[1].Value, out Uri? next) ? next : null;
    }

    private static string? Header(HttpResponseMessage response, string name) =>
        response.Headers.TryGetValues(name, out IEnumerable<string>? values) ? string.Join(", ", values) : null;

    private static string? Hash(string? text)
    {
        if (text is null) return null;
        text = text.StartsWith("W/", StringComparison.Ordinal) ? text[2..] : text;
        text = text.Trim('"');
        text = text.StartsWith("sha256:", StringComparison.Ordinal) ? text[7..] : text;
        return text.Length == 64 && text.All(char.IsAsciiHexDigit) ? text.ToLowerInvariant() : null;
    }

    private static string? Text(JsonElement entry, string name) =>
        entry.ValueKind == JsonValueKind.Object && entry.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String
            ? value.GetString() : null;

    private static long? Number(JsonElement entry, string name) =>
        entry.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long number) && number >= 0
            ? number : null;

    private static string Printable(string text) => new([.. text.Take(80).Select(c => char.IsControl(c) ? '?' : c)]);

    private static FlintException Nonsense(string what, string does) =>
        new(FaultSide.Machine, "hub_error", $"the hub {does} for {what}");

    [GeneratedRegex("""<([^>]+)>\s*;[^,]*\brel="?next"?""")]
    private static partial Regex NextLink();
}
