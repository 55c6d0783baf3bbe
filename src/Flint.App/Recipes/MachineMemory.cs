using System.Globalization;

namespace Flint.App.Recipes;

/// <summary>The memory that the machine can still give.</summary>
internal static class MachineMemory
{
    private const string LinuxFile = "/proc/meminfo";

    /// <summary>Bytes that can be had without swapping, as the system estimates them; at most what the process is allowed.</summary>
    internal static long Available()
    {
        long allowed = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        return OperatingSystem.IsLinux() && File.Exists(LinuxFile) && Parse(File.ReadLines(LinuxFile)) is { } free ? Math.Min(allowed, free) : allowed;
    }

    /// <summary>The line <c>MemAvailable: N kB</c>; null where there is none.</summary>
    internal static long? Parse(IEnumerable<string> lines)
    {
        foreach (string line in lines)
        {
            string[] parts = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (parts is ["MemAvailable:", var count, "kB"] && long.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out long kib)) return kib * 1024;
        }
        return null;
    }
}
