using System.Runtime.CompilerServices;
using Flint.Models;

namespace Flint.Engine;

/// <summary>Who may share computed pages: keys and values differ from adapter to adapter, and tenants may be kept apart.</summary>
/// <param name="Adapter">The adapter they are computed with.</param>
/// <param name="Salt">The tenant.</param>
internal readonly record struct PrefixScope(ModelAdapter? Adapter, ulong Salt)
{
    /// <summary>Spreads scopes over the buckets.</summary>
    public ulong Hash => Salt ^ (Adapter is null ? 0 : (ulong)RuntimeHelpers.GetHashCode(Adapter) << 32);
}
