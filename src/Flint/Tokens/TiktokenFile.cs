using System.Buffers.Text;
using System.Text;

namespace Flint.Tokens;

/// <summary>
/// A vocabulary in tiktoken's text format: one token a line, its bytes in base64, a space, its rank.
/// Ranks are both ids and the order of merging.
/// </summary>
public static class TiktokenFile
{
    /// <summary>The largest file that is read.</summary>
    public const long MaxFileBytes = 256L << 20;

    /// <summary>The most tokens a file may hold.</summary>
    public const int MaxTokens = 1 << 22;

    /// <summary>The bytes of each token by rank; ranks that the file skips are empty.</summary>
    /// <exception cref="FlintException">
    /// Machine: the file cannot be read. Model file: it is too large, or a line is not base64 and a rank, or a rank comes twice.
    /// </exception>
    public static byte[][] Read(string path)
    {
        byte[] file;
        try
        {
            var info = new FileInfo(path);
            if (info.Length > MaxFileBytes)
                throw FlintException.File("tiktoken_too_large", $"{path} has {info.Length} bytes; the most read is {MaxFileBytes}");
            file = File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FlintException(FaultSide.Machine, "file_unreadable", $"{path}: {e.Message}", e);
        }
        return Parse(file, path);
    }

    /// <summary>Reads the format from memory; <paramref name="name"/> is named in errors.</summary>
    /// <exception cref="FlintException">As for <see cref="Read"/>.</exception>
    public static byte[][] Parse(ReadOnlySpan<byte> file, string name)
    {
        var tokens = new List<byte[]?>();
        int lineNumber = 0;
        while (!file.IsEmpty)
        {
            lineNumber++;
            int end = file.IndexOf((byte)'\n');
            ReadOnlySpan<byte> line = end < 0 ? file : file[..end];
            file = end < 0 ? [] : file[(end + 1)..];
            if (line.EndsWith("\r"u8)) line = line[..^1];
            if (line.IsEmpty) continue;
            (byte[] bytes, int rank) = ParseLine(line, lineNumber, name);
            while (tokens.Count <= rank) tokens.Add(null);
            if (tokens[rank] is not null)
                throw FlintException.File("tiktoken_rank", $"{name}, line {lineNumber}: rank {rank} comes a second time");
            tokens[rank] = bytes;
        }
        if (tokens.Count == 0) throw FlintException.File("tiktoken_empty", $"{name} holds no token");
        return [.. tokens.Select(t => t ?? [])];
    }

    private static (byte[] Bytes, int Rank) ParseLine(ReadOnlySpan<byte> line, int lineNumber, string name)
    {
        int space = line.IndexOf((byte)' ');
        if (space > 0 && Utf8Parser.TryParse(line[(space + 1)..], out int rank, out int used) && used == line.Length - space - 1
            && rank is >= 0 and < MaxTokens)
        {
            var bytes = new byte[Base64.GetMaxDecodedFromUtf8Length(space)];
            if (Base64.DecodeFromUtf8(line[..space], bytes, out int consumed, out int written) == System.Buffers.OperationStatus.Done
                && consumed == space && written > 0)
                return (bytes[..written], rank);
        }
        throw FlintException.File("tiktoken_line",
            $"{name}, line {lineNumber}: expected base64, a space and a rank below {MaxTokens}, found '{Encoding.UTF8.GetString(line[..Math.Min(line.Length, 60)])}'");
    }
}
