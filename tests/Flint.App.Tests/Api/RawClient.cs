using System.Net.Sockets;
using System.Text;

namespace Flint.App.Tests.Api;

/// <summary>A client that says byte by byte what it wants to, and leaves as it likes.</summary>
internal sealed class RawClient : IDisposable
{
    private readonly Socket _socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private NetworkStream _stream = null!;

    /// <summary>What came back: status 0 where the connection was closed without an answer.</summary>
    internal sealed record Answer(int Status, string Head, string Body)
    {
        /// <summary>Whether it came whole, as long as its head says.</summary>
        internal bool IsWhole => Status > 0 && (LengthOf(Head) is int length ? Encoding.UTF8.GetByteCount(Body) == length : Body.EndsWith("0\r\n\r\n", StringComparison.Ordinal));
    }

    internal static async Task<RawClient> ConnectAsync(Uri server)
    {
        var raw = new RawClient();
        await raw._socket.ConnectAsync(server.Host, server.Port);
        raw._stream = new NetworkStream(raw._socket);
        return raw;
    }

    public void Dispose()
    {
        _stream.Dispose();
        _socket.Dispose();
    }

    internal static string Head(string route, string secret, string framing) =>
        $"POST {route} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json\r\nConnection: close\r\n{framing}\r\n\r\n";

    internal static string Sized(string route, string secret, long length) => Head(route, secret, $"Content-Length: {length}");

    internal Task SendAsync(string text) => SendAsync(Encoding.UTF8.GetBytes(text));

    internal async Task SendAsync(ReadOnlyMemory<byte> bytes) => await _stream.WriteAsync(bytes);

    /// <summary>Says that nothing more comes, and goes on listening.</summary>
    internal void HalfClose() => _socket.Shutdown(SocketShutdown.Send);

    /// <summary>Leaves without a farewell: the server gets a reset.</summary>
    internal void Reset()
    {
        _socket.LingerState = new LingerOption(true, 0);
        _socket.Close();
    }

    /// <summary>Reads until some of an answer's body has come.</summary>
    internal async Task BeginAsync()
    {
        var seen = new StringBuilder();
        var buffer = new byte[256];
        while (!seen.ToString().Contains("\r\n\r\n", StringComparison.Ordinal))
        {
            int count = await _stream.ReadAsync(buffer);
            Assert.True(count > 0, seen.ToString());
            seen.Append(Encoding.UTF8.GetString(buffer, 0, count));
        }
    }

    /// <summary>Reads what comes until the answer is whole or the connection is closed.</summary>
    internal async Task<Answer> ReadAsync()
    {
        var bytes = new List<byte>();
        var buffer = new byte[16 * 1024];
        try
        {
            for (int count; (count = await _stream.ReadAsync(buffer)) > 0;)
            {
                bytes.AddRange(buffer.AsSpan(0, count));
                if (Parse(bytes) is { IsWhole: true } whole)
                    return whole;
            }
        }
        catch (IOException)
        {
            // It was reset: what came before counts.
        }

        return Parse(bytes);
    }

    private static Answer Parse(List<byte> bytes)
    {
        string text = Encoding.UTF8.GetString([.. bytes]);
        int end = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
        return end < 0 ? new Answer(0, "", text) : new Answer(int.Parse(text.Split(' ')[1]), text[..end], text[(end + 4)..]);
    }

    private static int? LengthOf(string head)
    {
        const string name = "Content-Length: ";
        return Array.Find(head.Split("\r\n"), line => line.StartsWith(name, StringComparison.OrdinalIgnoreCase)) is string line ? int.Parse(line[name.Length..]) : null;
    }
}
