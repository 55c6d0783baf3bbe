using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Flint.App.Tests.Cli;

/// <summary>A hub on this machine, speaking just enough of the protocol over plain sockets that it can also misbehave.</summary>
internal sealed class HubServer : IDisposable
{
    internal sealed record Request(string Path, string? Range, string? Authorization);

    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly Dictionary<string, byte[]> _files = [];

    internal HubServer()
    {
        _listener.Start();
        _ = AcceptAsync();
    }

    internal string Endpoint => $"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}";

    internal ConcurrentQueue<Request> Requests { get; } = [];

    /// <summary>Bytes of body after which an answer is cut, one entry per file answer, then never.</summary>
    internal ConcurrentQueue<int> Cuts { get; } = [];

    internal string? RequiredToken { get; set; }

    internal string? RedirectFilesTo { get; set; }

    internal bool IgnoreRanges { get; set; }

    internal bool OnlyBlobsListing { get; set; }

    internal bool HashInListing { get; set; } = true;

    internal bool HashInHeader { get; set; }

    internal Func<string, string> HashOf { get; set; } = hash => hash;

    internal int SizeError { get; set; }

    internal int PageSize { get; set; } = int.MaxValue;

    internal int? FileStatus { get; set; }

    /// <summary>Adds a file of reproducible bytes to the repository <c>me/model</c>.</summary>
    internal byte[] Add(string path, int size)
    {
        var bytes = new byte[size];
        new Random(path.Length + size).NextBytes(bytes);
        return _files[path] = bytes;
    }

    public void Dispose() => _listener.Stop();

    private async Task AcceptAsync()
    {
        try
        {
            while (true) _ = ServeAsync(await _listener.AcceptTcpClientAsync());
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            // Stopped.
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        using (client)
        {
            NetworkStream stream = client.GetStream();
            using var reader = new StreamReader(stream, Encoding.ASCII, leaveOpen: true);
            string? first = await reader.ReadLineAsync();
            if (first is null) return;
            var headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
            while (await reader.ReadLineAsync() is { Length: > 0 } line)
                headers[line[..line.IndexOf(':')]] = line[(line.IndexOf(':') + 1)..].Trim();
            var request = new Request(first.Split(' ')[1], headers.GetValueOrDefault("Range"), headers.GetValueOrDefault("Authorization"));
            Requests.Enqueue(request);
            await AnswerAsync(stream, request);
        }
    }

    private async Task AnswerAsync(NetworkStream stream, Request request)
    {
        string path = Uri.UnescapeDataString(request.Path);
        if (RequiredToken is not null && request.Authorization != "Bearer " + RequiredToken)
            await SendAsync(stream, 401, "{}"u8.ToArray());
        else if (path.StartsWith("/api/models/me/model/tree/main?recursive=true", StringComparison.Ordinal) && !OnlyBlobsListing)
            await SendTreeAsync(stream, path);
        else if (path == "/api/models/me/model?blobs=true")
            await SendAsync(stream, 200, JsonSerializer.SerializeToUtf8Bytes(new { siblings = _files.Select(f => Entry(f, blobs: true)) }));
        else if (path.StartsWith("/me/model/resolve/main/", StringComparison.Ordinal) && _files.ContainsKey(path[23..]))
            await SendFileAsync(stream, path[23..], request.Range);
        else
            await SendAsync(stream, 404, "{}"u8.ToArray());
    }

    private async Task SendTreeAsync(NetworkStream stream, string path)
    {
        int from = path.Contains("cursor=", StringComparison.Ordinal) ? int.Parse(path[(path.IndexOf("cursor=", StringComparison.Ordinal) + 7)..]) : 0;
        var page = _files.Skip(from).Take(PageSize).Select(f => Entry(f, blobs: false));
        string next = from + (long)PageSize < _files.Count
            ? $"Link: <{Endpoint}/api/models/me/model/tree/main?recursive=true&cursor={from + PageSize}>; rel=\"next\"\r\n" : "";
        await SendAsync(stream, 200, JsonSerializer.SerializeToUtf8Bytes(page.Prepend(new Dictionary<string, object> { ["type"] = "directory", ["path"] = "sub", ["size"] = 0 })), next);
    }

    private Dictionary<string, object> Entry(KeyValuePair<string, byte[]> file, bool blobs)
    {
        var entry = new Dictionary<string, object>
        {
            ["type"] = "file",
            [blobs ? "rfilename" : "path"] = file.Key,
            ["size"] = file.Value.Length + SizeError,
            ["oid"] = "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        };
        if (HashInListing)
            entry["lfs"] = new Dictionary<string, object> { [blobs ? "sha256" : "oid"] = Hash(file.Value), ["size"] = file.Value.Length + SizeError };
        return entry;
    }

    private async Task SendFileAsync(NetworkStream stream, string name, string? range)
    {
        byte[] file = _files[name];
        string hash = HashInHeader ? $"X-Linked-ETag: \"{Hash(file)}\"\r\n" : "";
        if (FileStatus is { } status)
        {
            await SendAsync(stream, status, []);
            return;
        }
        if (RedirectFilesTo is { } other)
        {
            await SendAsync(stream, 302, [], $"Location: {other}/me/model/resolve/main/{name}\r\n{hash}");
            return;
        }
        int from = range is null || IgnoreRanges ? 0 : int.Parse(range["bytes=".Length..^1]);
        if (from >= file.Length)
        {
            await SendAsync(stream, 416, []);
            return;
        }
        int cut = Cuts.TryDequeue(out int at) ? at : int.MaxValue;
        string partial = from > 0 ? $"Content-Range: bytes {from}-{file.Length - 1}/{file.Length}\r\n" : "";
        await SendAsync(stream, from > 0 ? 206 : 200, file[from..], partial + hash, cut);
    }

    private static async Task SendAsync(NetworkStream stream, int status, byte[] body, string headers = "", int cut = int.MaxValue)
    {
        string head = $"HTTP/1.1 {status} Answer\r\nContent-Length: {body.Length}\r\nConnection: close\r\n{headers}\r\n";
        await stream.WriteAsync(Encoding.ASCII.GetBytes(head));
        await stream.WriteAsync(body.AsMemory(0, Math.Min(cut, body.Length)));
        await stream.FlushAsync();
        stream.Socket.Shutdown(SocketShutdown.Send);
    }

    private string Hash(byte[] bytes) => HashOf(Convert.ToHexStringLower(SHA256.HashData(bytes)));
}
