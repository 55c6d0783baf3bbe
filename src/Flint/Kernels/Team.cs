using System.Runtime.InteropServices;
using Flint.Memory;

namespace Flint.Kernels;

/// <summary>
/// A fixed team of threads that run one job at a time, each its own part of the rows. The caller is part 0; the others spin
/// briefly between jobs and then sleep. Parts split rows only, never a sum, so the count of threads changes no bit.
/// </summary>
internal sealed unsafe partial class Team : IDisposable
{
    private const int SpinsBeforeSleep = 4000;
    private const int MaxThreads = 256;
    private const int MaskBytes = 128; // of the system's set of processors

    /// <summary>Integers from one part's count of <see cref="Taken"/> to the next's: a cache line, and the one beside it.</summary>
    public const int TakenStride = 32;

    private readonly Thread[] _threads;
    private readonly SemaphoreSlim[] _wake;
    private readonly PaddedInt[] _asleep;
    private readonly NativeBuffer _taken;
    private delegate*<void*, int, int, void> _work;
    private void* _job;
    private volatile int _epoch;
    private int _pending;
    private Exception? _fault;
    private volatile bool _stopping;

    /// <summary>Starts the team's threads.</summary>
    /// <param name="threads">Threads in all, the caller included; 0 for one per processor.</param>
    public Team(int threads)
    {
        if (threads is < 0 or > MaxThreads)
            throw FlintException.Caller("threads", $"The number of threads is 0 to {MaxThreads}; found {threads}.");
        Count = threads == 0 ? Math.Min(Environment.ProcessorCount, MaxThreads) : threads;
        _threads = new Thread[Count - 1];
        _wake = new SemaphoreSlim[Count - 1];
        _asleep = new PaddedInt[Count - 1];
        _taken = NativeBuffer.Of<int>(Count * (long)TakenStride, zeroed: true);
        for (int i = 0; i < _threads.Length; i++)
        {
            int part = i + 1;
            _wake[i] = new SemaphoreSlim(0);
            _threads[i] = new Thread(() => Loop(part)) { IsBackground = true, Name = $"flint-team-{part}" };
            _threads[i].Start();
        }
    }

    /// <summary>How many parts a job is split into.</summary>
    public int Count { get; }

    /// <summary>For <see cref="Shares"/>: how many pieces of each part's run are taken; none when a job starts.</summary>
    public int* Taken => (int*)_taken.Pointer;

    /// <summary>Runs <paramref name="work"/> as (job, part, parts) on every thread of the team and returns when all parts are done.</summary>
    public void Run(delegate*<void*, int, int, void> work, void* job)
    {
        for (int i = 0; i < Count; i++) Taken[i * TakenStride] = 0;
        if (Count == 1)
        {
            work(job, 0, 1);
            return;
        }

        _work = work;
        _job = job;
        Volatile.Write(ref _pending, Count - 1);
        Interlocked.Increment(ref _epoch); // a full fence: the sleepers' flags below are read after it
        for (int i = 0; i < _wake.Length; i++)
        {
            if (Interlocked.Exchange(ref _asleep[i].Value, 0) == 1) _wake[i].Release();
        }

        try
        {
            work(job, 0, Count);
        }
        finally
        {
            SpinWait spin = default;
            for (int spins = 0; Volatile.Read(ref _pending) != 0; spins++)
            {
                if (spins < SpinsBeforeSleep) Thread.SpinWait(8);
                else spin.SpinOnce();
            }
        }

        if (_fault is { } fault)
        {
            _fault = null;
            throw new FlintException(FaultSide.Bug, "worker_fault", $"A worker thread failed: {fault.Message}", fault);
        }
    }

    /// <summary>The rows [from, to) of one part, in multiples of <paramref name="grain"/> save the last.</summary>
    public static void Split(int rows, int grain, int part, int parts, out int from, out int to)
    {
        int units = (rows + grain - 1) / grain;
        from = (int)((long)units * part / parts) * grain;
        to = Math.Min(rows, (int)((long)units * (part + 1) / parts) * grain);
    }

    public void Dispose()
    {
        if (_stopping) return;
        _stopping = true;
        Interlocked.Increment(ref _epoch);
        foreach (SemaphoreSlim wake in _wake) wake.Release();
        foreach (Thread thread in _threads) thread.Join();
        foreach (SemaphoreSlim wake in _wake) wake.Dispose();
        _taken.Dispose();
    }

    private void Loop(int part)
    {
        Pin(part);
        int seen = 0;
        while (true)
        {
            seen = Await(part - 1, seen);
            if (_stopping) return;
            try
            {
                _work(_job, part, Count);
            }
            catch (Exception e)
            {
                _fault = e;
            }

            Interlocked.Decrement(ref _pending);
        }
    }

    private int Await(int index, int seen)
    {
        for (int spins = 0; spins < SpinsBeforeSleep; spins++)
        {
            if (_epoch != seen) return _epoch;
            Thread.SpinWait(8);
        }

        while (_epoch == seen)
        {
            Interlocked.Exchange(ref _asleep[index].Value, 1);
            if (_epoch != seen && Interlocked.Exchange(ref _asleep[index].Value, 0) == 1) break;
            _wake[index].Wait();
        }

        return _epoch;
    }

    /// <summary>Ties the calling thread to the first processor, as part 0 of jobs to come, until the result is disposed: beside other work the system may else put two parts on one processor for long.</summary>
    public static PinnedCaller PinCaller() => new(Pin(0));

    /// <summary>Ties the calling thread to one processor of those the process may use; where the system refuses, it floats.</summary>
    /// <returns>The processors it could use before; null where nothing was changed.</returns>
    private static byte[]? Pin(int part)
    {
        if (!OperatingSystem.IsLinux()) return null;
        byte* mask = stackalloc byte[MaskBytes];
        if (GetAffinity(0, MaskBytes, mask) < 0) return null;
        byte[] before = new ReadOnlySpan<byte>(mask, MaskBytes).ToArray();
        int allowed = 0;
        for (int cpu = 0; cpu < MaskBytes * 8; cpu++) allowed += mask[cpu >> 3] >> (cpu & 7) & 1;
        if (part >= allowed) return null;
        int chosen = -1;
        for (int cpu = 0, index = 0; cpu < MaskBytes * 8; cpu++)
        {
            if ((mask[cpu >> 3] >> (cpu & 7) & 1) != 0 && index++ == part) chosen = cpu;
        }

        new Span<byte>(mask, MaskBytes).Clear();
        mask[chosen >> 3] = (byte)(1 << (chosen & 7));
        return SetAffinity(0, MaskBytes, mask) < 0 ? null : before;
    }

    /// <summary>Gives the thread back its processors.</summary>
    public readonly ref struct PinnedCaller(byte[]? before)
    {
        public void Dispose()
        {
            if (before is null) return;
            fixed (byte* mask = before) _ = SetAffinity(0, MaskBytes, mask);
        }
    }

    [LibraryImport("libc", EntryPoint = "sched_getaffinity")]
    private static partial int GetAffinity(int pid, nint bytes, byte* mask);

    [LibraryImport("libc", EntryPoint = "sched_setaffinity")]
    private static partial int SetAffinity(int pid, nint bytes, byte* mask);

    [StructLayout(LayoutKind.Explicit, Size = 64)]
    private struct PaddedInt
    {
        [FieldOffset(0)]
        public int Value;
    }
}
