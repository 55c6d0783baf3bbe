using System.Numerics;

namespace Flint.Weights;

/// <summary>Checked conversion of metadata values between the types of the file and those the reader asked for.</summary>
internal static class GgufConversion
{
    /// <summary>Converts a value; null where the types do not fit or a number is out of range.</summary>
    public static object? To(object value, Type type)
    {
        // Not "value is T": the run time lets an array of uint pass for one of int.
        if (value.GetType() == type || type == typeof(object))
            return value;
        if (value is Array array)
            return ToArray(array, type);
        return Type.GetTypeCode(type) switch
        {
            TypeCode.Byte => (object?)ToInteger<byte>(value),
            TypeCode.SByte => ToInteger<sbyte>(value),
            TypeCode.UInt16 => ToInteger<ushort>(value),
            TypeCode.Int16 => ToInteger<short>(value),
            TypeCode.UInt32 => ToInteger<uint>(value),
            TypeCode.Int32 => ToInteger<int>(value),
            TypeCode.UInt64 => ToInteger<ulong>(value),
            TypeCode.Int64 => ToInteger<long>(value),
            TypeCode.Single => ToNumber(value) is double d ? (float)d : null,
            TypeCode.Double => ToNumber(value),
            _ => null,
        };
    }

    private static object? ToArray(Array array, Type type) =>
        type == typeof(int[]) ? Convert(array, ToInteger<int>) :
        type == typeof(uint[]) ? Convert(array, ToInteger<uint>) :
        type == typeof(long[]) ? Convert(array, ToInteger<long>) :
        type == typeof(ulong[]) ? Convert(array, ToInteger<ulong>) :
        type == typeof(double[]) ? Convert(array, ToNumber) :
        type == typeof(float[]) ? Convert(array, v => (float?)ToNumber(v)) :
        // An empty array says nothing of what it would have held.
        array.Length == 0 && type.IsArray ? Array.CreateInstance(type.GetElementType()!, 0) :
        null;

    private static T[]? Convert<T>(Array array, Func<object, T?> convert)
        where T : struct
    {
        T[] result = new T[array.Length];
        for (int i = 0; i < result.Length; i++)
        {
            if (convert(array.GetValue(i)!) is not T element)
                return null;
            result[i] = element;
        }
        return result;
    }

    private static T? ToInteger<T>(object value)
        where T : struct, IBinaryInteger<T>, IMinMaxValue<T>
    {
        Int128? wide = ToWide(value);
        if (wide is not Int128 v || v < Int128.CreateChecked(T.MinValue) || v > Int128.CreateChecked(T.MaxValue))
            return null;
        return T.CreateTruncating(v);
    }

    private static double? ToNumber(object value) => value switch
    {
        float f => f,
        double d => d,
        _ => ToWide(value) is Int128 v ? (double)v : null,
    };

    private static Int128? ToWide(object value) => value switch
    {
        byte v => v,
        sbyte v => v,
        ushort v => v,
        short v => v,
        uint v => v,
        int v => v,
        ulong v => v,
        long v => v,
        _ => null,
    };
}
