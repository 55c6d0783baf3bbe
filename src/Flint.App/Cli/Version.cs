using System.CommandLine;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace Flint.App.Cli;

/// <summary><c>flint version</c>: the release, the runtime and the instruction sets it found.</summary>
internal static class Version
{
    internal static Command Create()
    {
        var command = new Command("version", "Print the version, the runtime and the instruction sets in use.");
        command.SetAction(_ => Console.WriteLine(Text()));
        return command;
    }

    private static string Text()
    {
        string[] sets =
        [
            .. Avx2.IsSupported ? ["AVX2"] : Array.Empty<string>(),
            .. AvxVnni.IsSupported ? ["AVX-VNNI"] : Array.Empty<string>(),
            .. Avx512BW.IsSupported ? ["AVX-512"] : Array.Empty<string>(),
        ];
        return $"flint {typeof(Version).Assembly.GetName().Version!.ToString(3)} "
            + $"({RuntimeInformation.FrameworkDescription}, {RuntimeInformation.RuntimeIdentifier}, "
            + $"{(sets.Length > 0 ? string.Join(' ', sets) : "scalar")}, {Environment.ProcessorCount} processors)";
    }
}
