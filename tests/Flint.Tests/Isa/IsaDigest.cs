using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Flint.Tests.Isa;

/// <summary>
/// What a test of trait <c>Isa=yes</c> computed, as digests that <see cref="IsaTests"/> compares between processes with
/// different instruction sets. Recording does nothing unless <see cref="FileVariable"/> is set.
/// </summary>
public static class IsaDigest
{
    /// <summary>Names the file that digests are appended to.</summary>
    public const string FileVariable = "FLINT_ISA_DIGEST";

    private static readonly Lock Gate = new();

    /// <summary>Records the exact bits of a float result under a name that is unique in the suite.</summary>
    public static void Record(string name, ReadOnlySpan<float> bits) => Record(name, MemoryMarshal.AsBytes(bits));

    /// <summary>Records the exact bytes of a result under a name that is unique in the suite.</summary>
    public static void Record(string name, ReadOnlySpan<byte> bytes)
    {
        string? file = Environment.GetEnvironmentVariable(FileVariable);
        if (string.IsNullOrEmpty(file)) return;
        string line = $"{name}\t{Convert.ToHexStringLower(SHA256.HashData(bytes))}\n";
        lock (Gate) File.AppendAllText(file, line);
    }
}
