using System.Diagnostics;
using System.Numerics;
using System.Runtime.InteropServices;

namespace Flint.Bench;

/// <summary>What the machine gives at this moment, on all threads: memory reads and fused multiply-adds. Taken between runs, it shows whether a pair was fair.</summary>
/// <param name="ReadGigabytesPerSecond">Sequential reads of a buffer far larger than any cache.</param>
/// <param name="GigaflopsPerSecond">Binary32 multiply-adds in registers, each counted as two.</param>
internal sealed record Canary(double ReadGigabytesPerSecond, double GigaflopsPerSecond)
{
    private const long BufferBytes = 512L << 20;
    private const int FmaRounds = 20_000_000;
    private const int Chains = 10;

    public static unsafe Canary Measure(int threads)
    {
        byte* buffer = (byte*)NativeMemory.AllocZeroed((nuint)BufferBytes);
        try
        {
            for (long i = 0; i < BufferBytes; i += 4096) buffer[i] = 1; // every page its own
            double read = Enumerable.Range(0, 3).Max(_ => BufferBytes / Time(threads, part => Read(buffer, part, threads)) / 1e9);
            double flops = 2.0 * FmaRounds * Chains * Vector<float>.Count * threads / Time(threads, _ => Fma()) / 1e9;
            return new Canary(Math.Round(read, 2), Math.Round(flops, 1));
        }
        finally
        {
            NativeMemory.Free(buffer);
        }
    }

    private static double Time(int threads, Action<int> work)
    {
        long start = Stopwatch.GetTimestamp();
        Thread[] team = [.. Enumerable.Range(0, threads).Select(part => new Thread(() => work(part)))];
        foreach (Thread thread in team) thread.Start();
        foreach (Thread thread in team) thread.Join();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private static unsafe void Read(byte* buffer, int part, int parts)
    {
        var p = (ulong*)(buffer + BufferBytes / parts * part);
        long count = BufferBytes / parts / sizeof(ulong);
        int width = Vector<ulong>.Count;
        Vector<ulong> a = default, b = default, c = default, d = default;
        for (long i = 0; i + 4 * width <= count; i += 4 * width)
        {
            a ^= Vector.Load(p + i);
            b ^= Vector.Load(p + i + width);
            c ^= Vector.Load(p + i + 2 * width);
            d ^= Vector.Load(p + i + 3 * width);
        }

        GC.KeepAlive((a ^ b ^ c ^ d).ToString());
    }

    private static void Fma()
    {
        Vector<float> x = new(0.999999f), y = new(1e-7f);
        Vector<float> a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, k = x, l = x;
        for (int i = 0; i < FmaRounds; i++)
        {
            a = Vector.FusedMultiplyAdd(a, x, y);
            b = Vector.FusedMultiplyAdd(b, x, y);
            c = Vector.FusedMultiplyAdd(c, x, y);
            d = Vector.FusedMultiplyAdd(d, x, y);
            e = Vector.FusedMultiplyAdd(e, x, y);
            f = Vector.FusedMultiplyAdd(f, x, y);
            g = Vector.FusedMultiplyAdd(g, x, y);
            h = Vector.FusedMultiplyAdd(h, x, y);
            k = Vector.FusedMultiplyAdd(k, x, y);
            l = Vector.FusedMultiplyAdd(l, x, y);
        }

        GC.KeepAlive((a + b + c + d + e + f + g + h + k + l).ToString());
    }
}
