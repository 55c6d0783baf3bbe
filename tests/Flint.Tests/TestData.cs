using System.Reflection;

namespace Flint.Tests;

/// <summary>Where tests find the repository and the optional reference data beside it.</summary>
public static class TestData
{
    /// <summary>The root of the repository this assembly was built from.</summary>
    public static string Root { get; } = typeof(TestData).Assembly
        .GetCustomAttributes<AssemblyMetadataAttribute>()
        .First(a => a.Key == "RepositoryRoot").Value!;

    /// <summary>A path under <c>../shared</c>; skips the calling test, visibly, where that data is absent.</summary>
    public static string Shared(string path)
    {
        string full = Path.GetFullPath(Path.Combine(Root, "..", "shared", path));
        if (!File.Exists(full) && !Directory.Exists(full))
            Assert.Skip($"reference data is absent: ../shared/{path}");
        return full;
    }
}
